"""The engine that a device keeps: of the bundle that runs, and of no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.device.engine import ENGINE_FILE, engine_for, keep_fastest, kept, measure_in_child
from edgewright.release.repository import ReleaseReport
from edgewright.runtime.engines import Engine
from edgewright.runtime.fastest import Fastest, Row
from tests.edgewright.device.conftest import Device

TWO = Engine(threads=2)
MEASURED = Fastest(TWO, (Row(Engine(), 10.0), Row(TWO, 6.0)))


def test_it_is_measured_after_a_flash_and_again_for_another_model(
    make_bundle: Callable[..., Path],
    publish: Callable[..., ReleaseReport],
    make_device: Callable[..., Device],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(make_bundle(release=1))
    device = make_device()
    device.update()
    bundle = device.start_and_commit().bundle
    assert engine_for(device.home, bundle) == Engine()
    keep_fastest(device.home, bundle, measure=lambda _: MEASURED)
    monkeypatch.setattr("edgewright.device.engine.engines_here", lambda: [Engine()])
    assert engine_for(device.home, bundle) == Engine(), "its package or its cores are gone"
    monkeypatch.setattr("edgewright.device.engine.engines_here", lambda: [Engine(), TWO])
    assert engine_for(device.home, bundle) == TWO
    publish(make_bundle(release=2, gain=0.9))
    device.update()
    other = device.start().bundle
    assert engine_for(device.home, other) == Engine(), "measured with another model"


def test_what_cannot_be_read_is_measured_again(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    from edgewright.device.files import Files
    from edgewright.device.home import DeviceConfig, Home

    home = Home(tmp_path, DeviceConfig("d", "http://127.0.0.1:1", "stable"), Files())
    for text in ("", "{}", "no json", json.dumps({"digest": "a", "fastest": {"engine": {}, "rows": []}})):
        (tmp_path / ENGINE_FILE).write_text(text)
        assert kept(home) is None


def test_a_child_measures_and_one_that_dies_leaves_the_default(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    found = measure_in_child(make_bundle())
    assert found.engine in [row.engine for row in found.rows]
    assert all((row.median_ms is None) == bool(row.problem) for row in found.rows)
    lost = measure_in_child(tmp_path / "nothing")
    assert (lost.engine, lost.rows[0].median_ms) == (Engine(), None)
    assert "exit code" in lost.rows[0].problem
