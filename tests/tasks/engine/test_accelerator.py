"""Each stage has devices of its own, as far as there are some."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.engine.accelerator import VISIBLE, accelerators, own_accelerators

TWO = ("one", "another")


@pytest.fixture(autouse=True)
def nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)


def test_two_stages_have_a_device_each(tmp_path: Path) -> None:
    with own_accelerators(1, tmp_path, known=TWO) as first:
        assert (first, os.environ.pop(VISIBLE)) == ([0], "0")
        with own_accelerators(1, tmp_path, known=TWO) as second:  # another process begins without the variable
            assert (second, os.environ[VISIBLE]) == ([1], "1")
        os.environ[VISIBLE] = "0"
    assert VISIBLE not in os.environ
    with own_accelerators(2, tmp_path, known=TWO) as both:
        assert (both, os.environ[VISIBLE]) == ([0, 1], "0,1")


@pytest.mark.parametrize(("wanted", "known"), [(1, ()), (1, ("one",)), (3, TWO)])
def test_where_nothing_can_be_told_apart_nothing_changes(tmp_path: Path, wanted: int, known: tuple[str, ...]) -> None:
    with own_accelerators(wanted, tmp_path, known=known) as claimed:
        assert (claimed, VISIBLE in os.environ) == ([], False)


def test_what_the_environment_names_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "1")
    with own_accelerators(1, tmp_path, known=TWO) as claimed:
        assert (claimed, os.environ[VISIBLE]) == ([], "1")


def test_the_driver_names_its_devices(tmp_path: Path) -> None:
    assert accelerators(tmp_path) == []
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t\t NVIDIA T4\nIRQ:   \t\t 24\n")
    (tmp_path / "0000:02:00.0").mkdir()
    assert accelerators(tmp_path) == ["NVIDIA T4", "an NVIDIA device"]
