"""The engine that is taken: the fastest that still says what the factory said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgewright.runtime import fastest as room
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.engines import Engine
from edgewright.runtime.fastest import Fastest, fastest

ONE, TWO, SPINNING = Engine(), Engine(threads=2), Engine(threads=2, spinning=True)
ENGINES = [ONE, TWO, SPINNING]


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Bundle:
    return Bundle.load(make_bundle())


def clock_of(*milliseconds: float) -> Callable[[], float]:
    """Each engine's time in turn."""

    def seconds() -> Iterator[float]:
        now = 0.0
        while True:
            for each in milliseconds:
                yield now
                now += each / 1000
                yield now

    return seconds().__next__


@pytest.mark.parametrize(
    ("times", "taken"),
    [
        ((10.0, 8.0, 9.0), TWO),
        ((10.0, 9.9, 9.7), ONE),  # within what changes from run to run
        ((10.0, 12.0, 4.0), SPINNING),
    ],
)
def test_the_fastest_is_taken_where_it_is_faster_by_something(
    bundle: Bundle, times: tuple[float, ...], taken: Engine
) -> None:
    found = fastest(bundle, ENGINES, clock=clock_of(*times))
    assert found.engine == taken
    assert [row.median_ms for row in found.rows] == pytest.approx(times)
    assert Fastest.from_json(found.to_json()) == found


def test_one_that_says_something_else_is_out_however_fast(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_network(path: Path, engine: Engine) -> object:
        network = room_open(path, engine)
        return network if engine != TWO else lambda tensor: network(tensor) * 0

    room_open = room.open_network
    monkeypatch.setattr(room, "open_network", open_network)
    found = fastest(bundle, [ONE, TWO], clock=clock_of(10.0))
    assert found.engine == ONE
    assert found.rows[1].median_ms is None
    assert "expected detections not found" in found.rows[1].problem


def test_where_the_default_fails_another_is_taken(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    room_open = room.open_network
    monkeypatch.setattr(
        room, "open_network", lambda path, engine: room_open(path if engine == TWO else path / "gone", engine)
    )
    found = fastest(bundle, [ONE, TWO])
    assert found.engine == TWO
    assert "cannot read the model" in found.rows[0].problem
    monkeypatch.setattr(room, "open_network", lambda path, engine: room_open(path / "gone", engine))
    assert fastest(bundle, [ONE, TWO]).engine == ONE, "nothing answers: the default stays, and its self-test will say"
