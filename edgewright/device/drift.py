"""Whether what the camera shows has changed since the release began to run here.

A window is a round of at least LEAST_FRAMES frames; of each six numbers are kept: how many objects a frame has, their
mean score, their mean size, how light the frames are, how much detail they have, and how unlike the first ones they are
(dHash; a second output of the network that would say it better is not read). The first TRAINING windows say what is
usual; how far a later one is from that gives its conformal p-value among the windows before it, and each number's
p-values are bet against by a simple jumper (Vovk et al. 2021, "Retrain or not retrain: conformal test martingales for
change-point detection"). Each capital is divided by its lowest, and the mean of the six is the level.

Decides that something changed where the level passes ALARM: where windows come in any order alike, that takes
ALARM windows on average to happen by chance, a week of minutes. Windows do not come so where day and night take turns:
then the first night is told as a change, and is one. What changes before twenty windows or so have come after the first
TRAINING becomes part of what is usual. Of more than KEPT windows the oldest are forgotten, which the
statement on chance leaves out. Refuses nothing.

    drift = drift.after(window)
    drift.level, drift.why
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import fmean, median
from typing import Any

from edgewright.device.home import Home
from edgewright.device.looks import BITS, distance, looks_of
from edgewright.device.sighting import Sighting

DRIFT_FILE = "drift.json"
SIGNALS = ("count", "score", "size", "light", "detail", "novelty")
LEAST_FRAMES, TRAINING, KEPT, FINGERPRINTS = 20, 40, 500, 64
ALARM = 10_000.0
_JUMP, _BETS = 0.01, (-1.0, 0.0, 1.0)
_DIGITS = 4
"""That count, of how far a window was from the median: the file is written each minute, and twice as long with all."""
Window = Mapping[str, float]
"""Signal => its mean in a window; without score and size where nothing was found."""


@dataclass(frozen=True)
class Bets:
    """A signal's history and the capital of whoever bet against it.

    Attributes:
        usual: of the first windows. apart: how far later windows were from their median.
        capital: of each bet. lowest: of their sum.
    """

    usual: tuple[float, ...] = ()
    apart: tuple[float, ...] = ()
    capital: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    lowest: float = 1.0

    def after(self, value: float, *, tie: float) -> Bets:
        """Args: tie: in [0, 1), drawn anew for each: which place a value has among equal ones."""
        if len(self.usual) < TRAINING:
            return replace(self, usual=(*self.usual, value))
        apart = _rounded(abs(value - median(self.usual)))
        further = sum(each > apart for each in self.apart)
        equal = sum(each == apart for each in self.apart) + 1
        p = (further + tie * equal) / (len(self.apart) + 1)
        total = sum(self.capital)
        mixed = [(1 - _JUMP) * each + _JUMP * total / len(_BETS) for each in self.capital]
        won = tuple(each * (1 + bet * (p - 0.5)) for bet, each in zip(_BETS, mixed, strict=True))
        return Bets(self.usual, (*self.apart, apart)[-KEPT:], won, min(self.lowest, sum(won)))

    @property
    def level(self) -> float:
        """The capital over its lowest: what was lost in quiet times makes nobody deaf."""
        return sum(self.capital) / self.lowest


@dataclass(frozen=True)
class Drift:
    """Law: `Drift.from_json(d.to_json()) == d`.

    Attributes:
        digest: of the release's bundle.
        fingerprints: of the first frames. level: the mean of the signals' levels.
        why: what changed, in a sentence, since the level passed ALARM; "" before.
    """

    digest: str = ""
    fingerprints: tuple[int, ...] = ()
    bets: Mapping[str, Bets] = field(default_factory=lambda: {name: Bets() for name in SIGNALS})
    level: float = 1.0
    why: str = ""

    def after(self, window: Window, *, ties: random.Random | None = None) -> Drift:
        draw = (ties or random).random
        bets = {
            name: each.after(window[name], tie=draw()) if name in window else each for name, each in self.bets.items()
        }
        level = fmean(each.level for each in bets.values())
        why = self.why or (_said(bets, window) if level >= ALARM else "")
        return replace(self, bets=bets, level=level, why=why)

    @property
    def learning(self) -> bool:
        """Whether what is usual is not known yet."""
        return min(len(each.usual) for name, each in self.bets.items() if name not in ("score", "size")) < TRAINING

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Drift:
        """Raises KeyError, TypeError or ValueError."""
        bets = {name: _bets(value["bets"][name]) for name in SIGNALS}
        numbers = (float(value["level"]), *(each.lowest for each in bets.values()))
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            raise ValueError(f"not levels: {numbers}")
        return cls(str(value["digest"]), tuple(map(int, value["fingerprints"])), bets, numbers[0], str(value["why"]))


class Looking:
    """Watches the frames of a round."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._fingerprints: list[int] = []
        self._frames = 0

    def __call__(self, sighting: Sighting) -> None:
        seen = sighting.seen
        if seen is None:
            return
        self._frames += 1
        looks = looks_of(seen.picture.rgb)
        self._fingerprints.append(looks.fingerprint)
        told = {"count": float(len(seen.boxes)), "light": looks.light, "detail": looks.detail}
        if len(seen.boxes):
            side = math.sqrt(seen.picture.rgb.width * seen.picture.rgb.height)
            told["score"] = float(seen.boxes.score.mean())
            told["size"] = float((seen.boxes.area**0.5).mean()) / side
        for name, value in told.items():
            self._values.setdefault(name, []).append(value)

    def window(self, known: Sequence[int]) -> Window | None:
        """Of the frames since the last; None where they are too few. `known`: fingerprints of the first frames."""
        values, prints, frames = self._values, self._fingerprints, self._frames
        if frames < LEAST_FRAMES:
            return None
        self._values, self._fingerprints, self._frames = {}, [], 0
        novelty = fmean(min((distance(each, other) for other in known), default=0) / BITS for each in prints)
        return {**{name: fmean(each) for name, each in values.items()}, "novelty": novelty}

    @property
    def fingerprints(self) -> tuple[int, ...]:
        return tuple(self._fingerprints[:FINGERPRINTS])


def drift_of(home: Home, digest: str) -> Drift:
    """Of the release that runs; a new one where another ran before, or what is kept cannot be read."""
    try:
        found = Drift.from_json(json.loads((home.root / DRIFT_FILE).read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return Drift(digest)
    return found if found.digest == digest else Drift(digest)


def keep_window(home: Home, digest: str, looking: Looking) -> Drift:
    """The drift with what was looked at since the last; kept where that made a window."""
    before = drift_of(home, digest)
    known = before if before.fingerprints else replace(before, fingerprints=looking.fingerprints)
    window = looking.window(known.fingerprints)
    if window is None:
        return before
    after = known.after(window)
    home.files.replace(home.root / DRIFT_FILE, json.dumps(after.to_json(), separators=(",", ":")).encode())
    return after


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _bets(value: Mapping[str, Any]) -> Bets:
    usual, apart, capital = (tuple(map(float, value[part])) for part in ("usual", "apart", "capital"))
    return Bets(usual, apart, capital, float(value["lowest"]))


def _said(bets: Mapping[str, Bets], window: Window) -> str:
    name = max(bets, key=lambda each: bets[each].level)
    return f"{name} was {median(bets[name].usual):.3g}, and is {window.get(name, math.nan):.3g}"
