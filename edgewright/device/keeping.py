"""Hard frames are kept for the people who label: watched for while the device detects, hidden in part, spooled.

Decides what a frame's hardness is made of, and what is told with it: when, by which release, why, and every box, the
doubted ones too. Only a policy that was signed offline has frames kept. Where it asks for something to be hidden, it is
hidden before the picture is first written, by a look of its own at the whole picture; where that cannot be done (the
detector knows no such class, the bundle that finds it is missing, another one or fails), nothing is kept, and why is
said once.

    with_policy(home, bundle, say=print)      # a watcher of `run_feed`, or None
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.hard import doubt_of, flicker_of, novelty_of
from edgewright.device.hiding import hiding
from edgewright.device.home import Home
from edgewright.device.looks import looks_of
from edgewright.device.sighting import Seen, Sighting
from edgewright.device.spool import Spool
from edgewright.errors import EdgewrightError
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.bundle import Bundle

POLICY_FILE = "frames_policy.json"
_WHOLE_PX = 1 << 16
_ROUNDED = 4


def keep_policy(home: Home, policy: FramesPolicy | None) -> None:
    """As it was signed last; None: no frame is kept."""
    payload = json.dumps(policy.to_json() if policy else None, sort_keys=True).encode()
    path = home.root / POLICY_FILE
    if not path.exists() or path.read_bytes() != payload:
        home.files.replace(path, payload)


def policy_of(home: Home) -> FramesPolicy | None:
    """None where there is none, or what is kept cannot be read."""
    try:
        value = json.loads((home.root / POLICY_FILE).read_bytes())
        return FramesPolicy.from_json(value) if value else None
    except (OSError, ValueError, RecursionError):
        return None


class Keeping:
    """Made by `with_policy`. A watcher that looks at a frame once the next has come, for its flicker."""

    def __init__(self, home: Home, bundle: Bundle, policy: FramesPolicy, say: Callable[[str], None]) -> None:
        self._spool, self._bundle, self._policy, self._say = Spool(home), bundle, policy, say
        self._chooser = self._spool.chooser(policy)
        self._hide = hiding(home, bundle, policy)
        self._before: Sighting | None = None
        self._here: Sighting | None = None
        self._said = False
        self._spool.tidy(policy)

    @property
    def floor(self) -> float:
        """The lowest score that it wants to be told of."""
        return self._bundle.manifest.spec.score_threshold / 2

    def __call__(self, sighting: Sighting) -> None:
        if sighting.seen is None:
            return
        if self._here is not None:
            self._consider(self._here, after=sighting)
        self._before, self._here = self._here, sighting

    def flush(self) -> None:
        """No frame comes after the last."""
        if self._here is not None:
            self._consider(self._here, after=None)
        self._before = self._here = None

    def _consider(self, sighting: Sighting, *, after: Sighting | None) -> None:
        seen = sighting.seen
        if seen is None:
            return
        fingerprint = looks_of(seen.picture.rgb).fingerprint
        why = self._why(sighting, seen, fingerprint, after)
        now = sighting.frame.at or time.time()
        known = len(self._chooser.known)
        self._chooser.know(fingerprint)
        if not self._chooser.take(why, fingerprint, now=now):
            if len(self._chooser.known) != known and known % 16 == 0:
                self._spool.keep_chooser(self._chooser)
            return
        try:
            self._spool.keep_chooser(self._chooser)  # what is taken counts, whatever becomes of it
            self._keep(sighting, seen, why, now)
        except (EdgewrightError, OSError) as error:
            self._news(f"a hard frame was not kept: {error}")

    def _why(self, sighting: Sighting, seen: Seen, fingerprint: int, after: Sighting | None) -> dict[str, float]:
        threshold = self._bundle.manifest.spec.score_threshold
        scores = [*seen.boxes.score.tolist(), *seen.doubted.score.tolist()]
        why = {
            "doubt": doubt_of(scores, threshold=threshold),
            "novelty": novelty_of(fingerprint, self._chooser.known),
        }
        live = sighting.frame.at is not None
        if live and self._before and self._before.seen and after and after.seen:
            why["flicker"] = flicker_of(self._before.seen.boxes, seen.boxes, after.seen.boxes)
        return {name: round(value, _ROUNDED) for name, value in why.items()}

    def _keep(self, sighting: Sighting, seen: Seen, why: Mapping[str, float], now: float) -> None:
        whole = sighting.frame.read(_WHOLE_PX)
        picture, n_hidden = self._hide(whole.rgb)
        spec = self._bundle.manifest.spec
        sure, doubted = (whole.from_file(seen.picture.to_file(boxes)) for boxes in (seen.boxes, seen.doubted))
        facts: dict[str, Any] = {
            "at": now,
            "frame": sighting.frame.name,
            "release": self._bundle.manifest.release,
            "manifest": self._bundle.manifest_sha256,
            "classes": list(spec.classes),
            "threshold": spec.score_threshold,
            "why": dict(why),
            "hard": max(why.values()),
            "detections": rows_of_boxes(sure),
            "doubted": rows_of_boxes(doubted),
            "hidden": n_hidden,
            "policy": self._policy.hides,
        }
        self._spool.keep(picture, facts, room=self._policy.max_bytes)

    def _news(self, sentence: str) -> None:
        if not self._said:
            self._said = True
            self._say(sentence)


def with_policy(home: Home, bundle: Bundle, *, say: Callable[[str], None]) -> Keeping | None:
    """None where nothing is to be kept, or not without being hidden, which is said."""
    policy = policy_of(home)
    if policy is None or not policy.an_hour:
        return None
    try:
        return Keeping(home, bundle, policy, say)
    except (EdgewrightError, OSError) as error:
        say(f"no hard frame is kept: {error}")
        return None


def rows_of_boxes(boxes: Boxes) -> list[list[float]]:
    """x1 y1 x2 y2 (px of the upright picture), score, class id."""
    rows = zip(boxes.xyxy.tolist(), boxes.score.tolist(), boxes.class_id.tolist(), strict=True)
    return [[*(round(x, 2) for x in xyxy), round(score, 4), kind] for xyxy, score, kind in rows]
