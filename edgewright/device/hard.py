"""Which frames are worth a person's look: pure, one frame after another.

    doubt       a score near the threshold, above it or below: 1 at the threshold, 0 at DOUBT_BAND away
    flicker     an object that the frame before and the frame after have, and this one does not; of a live feed alone
    novelty     a frame unlike every one that was kept, by its fingerprint

Decides the hardness, the largest of the three, in [0, 1], and whether a frame is taken: hard enough, unlike what was
taken lately, and within what the hour and the day still allow. An hour's share is handed out in sixths, so that its
first minute does not take all of it. Refuses nothing.

>>> doubt_of([0.9, 0.3], threshold=0.3), doubt_of([0.9], threshold=0.3), doubt_of([], threshold=0.3)
(1.0, 0.0, 0.0)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.looks import BITS, distance
from edgewright.runtime.boxes import Boxes

HARD, DOUBT_BAND, SAME_BITS, NOVEL_BITS, SAME_IOU = 0.5, 0.15, 5, 20, 0.5
REMEMBERED = 256
_PARTS, _HOUR_S, _DAY_S = 6, 3600.0, 86_400.0


def doubt_of(scores: Iterable[float], *, threshold: float) -> float:
    return max((max(0.0, 1.0 - abs(score - threshold) / DOUBT_BAND) for score in scores), default=0.0)


def flicker_of(before: Boxes, here: Boxes, after: Boxes) -> float:
    """The best score of an object that both neighbors have, in place and class alike, and this frame has not."""
    best = 0.0
    for index in range(len(before)):
        one = before[index : index + 1]
        if _has(after, one) and not _has(here, one):
            best = max(best, float(one.score[0]))
    return best


def novelty_of(fingerprint: int, known: Iterable[int]) -> float:
    """0 where a frame is like a known one, 1 from NOVEL_BITS on; of the first frame there is nothing to say."""
    nearest = min((distance(fingerprint, each) for each in known), default=0)
    return 0.0 if nearest < NOVEL_BITS else min(1.0, nearest / (BITS / 2))


def _has(boxes: Boxes, one: Boxes) -> bool:
    same = boxes[boxes.class_id == one.class_id[0]]
    return bool(len(same) and same.iou(one).max() >= SAME_IOU)


@dataclass
class Budget:
    """Frames that were taken lately, by when: seconds since 1970."""

    taken: deque[float] = field(default_factory=deque)

    def allows(self, policy: FramesPolicy, now: float) -> bool:
        """A clock that went back counts what it took before as taken now, and forgets it after a day."""
        self.taken = deque(min(at, now) for at in self.taken)
        while self.taken and now - self.taken[0] > _DAY_S:
            self.taken.popleft()
        hour = [at for at in self.taken if now - at < _HOUR_S]
        part = [at for at in hour if now - at < _HOUR_S / _PARTS]
        a_part = max(1, -(-policy.an_hour // _PARTS))
        return len(self.taken) < policy.a_day and len(hour) < policy.an_hour and len(part) < a_part


@dataclass
class Chooser:
    """What was seen so far. `known`: fingerprints of frames that were kept or looked at first."""

    policy: FramesPolicy
    budget: Budget = field(default_factory=Budget)
    known: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    taken: deque[int] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def take(self, why: Mapping[str, float], fingerprint: int, *, now: float) -> bool:
        """Whether the frame is one of those; then it counts."""
        if max(why.values(), default=0.0) < HARD:
            return False
        if any(distance(fingerprint, each) <= SAME_BITS for each in self.taken):
            return False
        if not self.budget.allows(self.policy, now):
            return False
        self.budget.taken.append(now)
        self.taken.append(fingerprint)
        return True

    def know(self, fingerprint: int) -> None:
        """Novelty is against what was seen: each frame counts, unless it is like one that is known."""
        if not any(distance(fingerprint, each) < NOVEL_BITS // 2 for each in self.known):
            self.known.append(fingerprint)
