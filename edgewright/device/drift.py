"""Whether what the camera shows has changed since the release began to run here.

A window is a round of at least LEAST_FRAMES frames; of each six numbers are kept: how many objects a frame has, their
mean score, their mean size, how light the frames are, how much detail they have, and how unlike the first ones they
are: 1 - the cosine between the network's own feature and the mean of theirs, where the bundle's file gives one, and
where it does not, the share of dHash's bits in which they differ. The first TRAINING windows say what is usual; how far
a later one is from that gives its conformal p-value among the windows before it, and each number's p-values are bet
against by a simple jumper (Vovk et al. 2021, "Retrain or not retrain: conformal test martingales for change-point
detection"). Each capital is divided by its lowest, and the mean of the six is the level.

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

import numpy as np
from numpy.typing import NDArray

from edgewright.device.home import Home
from edgewright.device.looks import BITS, distance, looks_of
from edgewright.device.sighting import Sighting
from edgewright.runtime.boxes import FloatArray

DRIFT_FILE = "drift.json"
SIGNALS = ("count", "score", "size", "light", "detail", "novelty")
LEAST_FRAMES, TRAINING, KEPT, FINGERPRINTS = 20, 40, 500, 64
FEATURE, DHASH = "feature", "dHash"
ALARM = 10_000.0
_JUMP, _BETS = 0.01, (-1.0, 0.0, 1.0)
_NOWHERE: NDArray[np.float64] = np.zeros(())
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
        fingerprints: of the first frames. feature: the mean of theirs; () where novelty is told by fingerprints.
        level: the mean of the signals' levels.
        why: what changed, in a sentence, since the level passed ALARM; "" before.
    """

    digest: str = ""
    fingerprints: tuple[int, ...] = ()
    feature: tuple[float, ...] = ()
    bets: Mapping[str, Bets] = field(default_factory=lambda: {name: Bets() for name in SIGNALS})
    level: float = 1.0
    why: str = ""

    def after(self, window: Window, *, ties: random.Random | None = None) -> Drift:
        draw = (ties or random).random
        bets = {
            name: each.after(window[name], tie=draw()) if name in window else each for name, each in self.bets.items()
        }
        level = fmean(each.level for each in bets.values())
        why = self.why or (self._said(bets, window) if level >= ALARM else "")
        return replace(self, bets=bets, level=level, why=why)

    @property
    def learning(self) -> bool:
        """Whether what is usual is not known yet."""
        return min(len(each.usual) for name, each in self.bets.items() if name not in ("score", "size")) < TRAINING

    @property
    def novelty_by(self) -> str:
        """FEATURE or DHASH; "" before the first window."""
        return FEATURE if self.feature else DHASH if self.fingerprints else ""

    def _said(self, bets: Mapping[str, Bets], window: Window) -> str:
        name = max(bets, key=lambda each: bets[each].level)
        by = f" by {self.novelty_by}" if name == "novelty" and self.novelty_by else ""
        return f"{name}{by} was {median(bets[name].usual):.3g}, and is {window.get(name, math.nan):.3g}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Drift:
        """Of an agent that knew of no feature, too. Raises KeyError, TypeError or ValueError."""
        bets = {name: _bets(value["bets"][name]) for name in SIGNALS}
        numbers = (float(value["level"]), *(each.lowest for each in bets.values()))
        if not all(math.isfinite(number) and number > 0 for number in numbers):
            raise ValueError(f"not levels: {numbers}")
        feature = tuple(map(float, value.get("feature", ())))
        if not all(map(math.isfinite, feature)):
            raise ValueError("not a feature")
        fingerprints = tuple(map(int, value["fingerprints"]))
        return cls(str(value["digest"]), fingerprints, feature, bets, numbers[0], str(value["why"]))


class Looking:
    """Watches the frames of a round."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._fingerprints: list[int] = []
        self._first: list[FloatArray] = []
        self._towards, self._featured = _NOWHERE, 0
        self._frames = 0

    def __call__(self, sighting: Sighting) -> None:
        seen = sighting.seen
        if seen is None:
            return
        self._frames += 1
        looks = looks_of(seen.picture.rgb)
        self._fingerprints.append(looks.fingerprint)
        if seen.feature is not None:
            self._first = [*self._first, seen.feature][:FINGERPRINTS]
            self._towards, self._featured = self._towards + _direction(seen.feature), self._featured + 1
        told = {"count": float(len(seen.boxes)), "light": looks.light, "detail": looks.detail}
        if len(seen.boxes):
            side = math.sqrt(seen.picture.rgb.width * seen.picture.rgb.height)
            told["score"] = float(seen.boxes.score.mean())
            told["size"] = float((seen.boxes.area**0.5).mean()) / side
        for name, value in told.items():
            self._values.setdefault(name, []).append(value)

    def window(self, known: Sequence[int], feature: Sequence[float] = ()) -> Window | None:
        """Of the frames since the last; None where they are too few.

        Args:
            known: fingerprints of the first frames.
            feature: their mean, which novelty is measured from; (): from `known`. A frame without a feature says
                nothing of it then.
        """
        if self._frames < LEAST_FRAMES:
            return None
        novelty = self._apart(feature) if feature else self._unlike(known)
        values = {name: fmean(each) for name, each in self._values.items()}
        self._values, self._fingerprints, self._frames = {}, [], 0
        self._first, self._towards, self._featured = [], _NOWHERE, 0
        return values if novelty is None else {**values, "novelty": novelty}

    def _unlike(self, known: Sequence[int]) -> float:
        return fmean(min((distance(each, one) for one in known), default=0) / BITS for each in self._fingerprints)

    def _apart(self, feature: Sequence[float]) -> float | None:
        """1 - the mean cosine, which is that of the mean direction: no frame's feature is kept for it."""
        if self._towards.shape != (len(feature),):
            return None
        return 1 - float(self._towards @ _direction(np.asarray(feature))) / self._featured

    @property
    def fingerprints(self) -> tuple[int, ...]:
        return tuple(self._fingerprints[:FINGERPRINTS])

    @property
    def feature(self) -> tuple[float, ...]:
        """The mean of the first frames'; () where none has one."""
        return tuple(np.asarray(self._first, np.float64).mean(axis=0).tolist()) if self._first else ()


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
    first = replace(before, fingerprints=looking.fingerprints, feature=looking.feature)
    known = before if before.fingerprints else first
    window = looking.window(known.fingerprints, known.feature)
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


def _direction(feature: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Of length 1; of nothing but zeros zeros, whose cosine to anything is 0."""
    exact = feature.astype(np.float64)
    length = float(np.linalg.norm(exact))
    return exact / length if length else exact
