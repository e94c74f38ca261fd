"""The examples in docstrings run, and give what stands below them.

An example finds its module's own names, the names that `GIVEN` lists for its module, and an empty working directory.
"""

from __future__ import annotations

import doctest
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from edgewright.device.files import Files
from edgewright.device.home import DeviceConfig, init_home
from edgewright.device.slots import Slots
from edgewright.device.updater import update
from edgewright.release.metadata import FIRST_ROOT
from edgewright.release.repository import publish_release
from edgewright.release.server import serve_repository
from edgewright.runtime.bundle import Bundle
from tests.cells import cell_picture, write_bundle

ROOT = Path(__file__).parents[1]
FOLDERS = ("edgewright", "tasks", "flows", "deployments", "benchmarks", "docs", "infra")
EXAMPLES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if ">>> " in path.read_text()]
SKIPPED = {"edgewright.release.gateway": "three processes of the agent"}
"""Modules whose example costs seconds, and why; each is run by its own tests."""
Names = dict[str, Any]


def load(path: Path) -> ModuleType:
    """A module of a package by its dotted name, a script of `docs` by its path."""
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if not dotted.startswith(("docs.", "infra.")):
        return importlib.import_module(dotted)
    spec = importlib.util.spec_from_file_location(dotted, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def nothing() -> Iterator[Names]:
    yield {}


@contextmanager
def bundle() -> Iterator[Names]:
    """A bundle of the cell detector, a feed of three pictures with two objects each, a folder for what is found."""
    Path("feed").mkdir()
    for number in range(3):
        Image.fromarray(cell_picture(number, number + 1)).save(Path("feed", f"{number}.png"))
    folder = write_bundle(Path(), release=3)
    yield {"bundle": Bundle.load(folder), "feed": Path("feed"), "out": Path("out")}


@contextmanager
def release() -> Iterator[Names]:
    """What a release is made from, and where it goes."""
    places = {"repository": Path("repository"), "keys": Path("keys"), "reports": Path("reports")}
    yield {"bundle": write_bundle(Path(), release=3), "now": datetime.now(UTC), **places}


@contextmanager
def device() -> Iterator[Names]:
    """A device that was just introduced to a server, which offers release 3."""
    with release() as names:
        names = {name: value for name, value in names.items() if name != "reports"}
        publish_release(names.pop("bundle"), channel="stable", **names)
    with serve_repository(Path("repository"), reports=Path("reports")) as server:
        home = init_home(
            Path("device"),
            trust_root=Path("repository/metadata", FIRST_ROOT).read_bytes(),
            config=DeviceConfig("line-1", server.url, "stable"),
            files=Files(),
        )
        yield {"home": home, "slots": Slots(home)}


@contextmanager
def updated_device() -> Iterator[Names]:
    with device() as names:
        update(names["home"])
        yield names


GIVEN: dict[str, Callable[[], AbstractContextManager[Names]]] = {
    "edgewright.device.cli": device,
    "edgewright.device.report": device,
    "edgewright.device.start": updated_device,
    "edgewright.device.trust": device,
    "edgewright.device.updater": device,
    "edgewright.release.repository": release,
    "edgewright.release.server": release,
    "edgewright.runtime.selftest": bundle,
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = load(path)
    skipped = module.__name__ in SKIPPED
    with GIVEN.get(module.__name__, nothing)() as names:
        done = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert done.failed == 0, "see the captured output"
    assert (done.attempted == 0) == skipped, "no example ran: take it out, let it run, or name it in SKIPPED"


def test_what_is_named_here_has_examples() -> None:
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in EXAMPLES}
    assert {*GIVEN, *SKIPPED} <= names
