"""Finished runs made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from edgewright.experiment.results import Result


def make_result(key: str = "k", **changes: object) -> Result:
    values = {
        "key": key,
        "project": "p",
        "dataset": "d",
        "settings": "s",
        "arm": "real",
        "labels": 25,
        "draw": 0,
        "seed": 0,
        "steps": 10,
        "image_px": 64,
        "n_photographs": 25,
        "n_extra": 0,
        "n_test": 9,
        "map50": 0.5,
        "map50_95": 0.25,
        "by_class": {"a": 0.25},
    }
    return Result(**{**values, **changes})


@pytest.fixture
def result() -> Callable[..., Result]:
    """A finished run; what is not said is that of photographs alone."""
    return make_result


@pytest.fixture
def runs() -> Callable[..., list[Result]]:
    """One run a draw, for each n."""

    def make(arm: str, scores: Mapping[int, Sequence[float]], **changes: object) -> list[Result]:
        return [
            make_result(f"{arm}-{n}-{draw}", arm=arm, labels=n, draw=draw, map50_95=score, map50=2 * score, **changes)
            for n, by_draw in scores.items()
            for draw, score in enumerate(by_draw)
        ]

    return make


@pytest.fixture
def photographs(runs: Callable[..., list[Result]]) -> list[Result]:
    """Photographs alone at three numbers of labels, three draws each."""
    return runs("real", {25: (0.20, 0.22, 0.24), 50: (0.30, 0.32, 0.34), 100: (0.40, 0.42, 0.44)})
