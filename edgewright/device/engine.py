"""Which engine answers on this device: measured after each flash, in a process of its own, and kept in the home.

Decides nothing about speed (`runtime.fastest` does); only whether what is kept is of the bundle that runs. Refuses to
end an update for it: a measurement that fails leaves the default, and says why.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgewright.device.home import Home
from edgewright.device.process import run_child
from edgewright.errors import InputError
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine, engines_here
from edgewright.runtime.fastest import Fastest, Row

ENGINE_FILE = "engine.json"
MEASURE_TIMEOUT_S = 120.0
Measurer = Callable[[Path], Fastest]
"""The folder of a checked bundle => its engines."""


@dataclass(frozen=True)
class Kept:
    """Attributes: digest: of the bundle's manifest, whose model was measured."""

    digest: str
    fastest: Fastest


def measure_in_child(slot: Path) -> Fastest:
    """Whatever happens to the child is a result."""
    done = run_child("engines", str(slot), "--json", timeout_s=MEASURE_TIMEOUT_S)
    if isinstance(done, str):
        return Fastest(Engine(), (Row(Engine(), None, done),))
    try:
        return Fastest.from_json(json.loads(done.stdout))
    except (ValueError, TypeError, KeyError, InputError):
        return Fastest(Engine(), (Row(Engine(), None, f"its process ended with exit code {done.returncode}"),))


def keep_fastest(home: Home, bundle: Bundle, *, measure: Measurer = measure_in_child) -> Fastest:
    """Measure and write down."""
    found = measure(bundle.root)
    value = {"digest": bundle.manifest_sha256, "fastest": found.to_json()}
    home.files.replace(home.root / ENGINE_FILE, json.dumps(value, indent=1, sort_keys=True).encode())
    return found


def kept(home: Home) -> Kept | None:
    """None where nothing readable is kept: it can be measured again at any time."""
    try:
        value = json.loads((home.root / ENGINE_FILE).read_bytes())
        return Kept(str(value["digest"]), Fastest.from_json(value["fastest"]))
    except (OSError, ValueError, TypeError, KeyError, InputError):
        return None


def engine_for(home: Home, bundle: Bundle) -> Engine:
    """What is kept of this bundle and still there, else the default: a package that went keeps no device blind."""
    found = kept(home)
    known = found is not None and found.digest == bundle.manifest_sha256 and found.fastest.engine in engines_here()
    return found.fastest.engine if found is not None and known else Engine()
