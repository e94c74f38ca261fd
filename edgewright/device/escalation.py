"""Which frames a larger model is asked about: pure, one event after another, by the seconds of a clock that only rises.

    doubt       the device's own scores are near its threshold (`hard.py`)
    share       of the last WINDOW frames, or of all so far, no more are asked about than the policy says
    link        pictures leave within bytes an hour, handed out evenly: a bucket that begins empty, so that a restart
                gives nothing anew
    breaker     after FAILURES in a row nobody is asked for PAUSE_S; then one frame is a probe, and each that fails
                doubles the pause up to LONGEST_PAUSE_S

Decides whether a frame is asked about, whether its bytes may leave, and whether an answer counts: one that comes after
the deadline does not, and is a failure to the breaker, because a line on which answers come late is one not to use.
Refuses nothing.

>>> rule = Escalation(EscalationPolicy("https://gate:8475", share_per_mille=500, deadline_ms=200))
>>> [rule.consider(1.0, now=number / 10).value for number in range(2)]
['share', 'ask']
>>> rule.may_leave(1_000, now=0.2), rule.answered(now=0.25)
(True, True)
>>> rule.told(now=0.4)
Counts(asked=1, answered=1, late=0, refused=0, failed=0, bytes=1000, breaker='closed')
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal

from edgewright.device.frames_policy import EscalationPolicy

WINDOW = 200
FAILURES, PAUSE_S, LONGEST_PAUSE_S = 3, 5.0, 600.0
_BURST = 1 / 6
"""Of an hour's bytes: what may leave at once. The rest of them comes evenly, so that no hour has more."""


class Verdict(StrEnum):
    """Of a frame: `ask`, or what keeps it here."""

    ASK = "ask"
    SURE = "sure"
    BUSY = "busy"
    OPEN = "open"
    SHARE = "share"
    LINK = "link"


class Standing(StrEnum):
    """Of the breaker. `half-open`: the next frame is a probe, or one is under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True)
class Counts:
    """What came of it since it was last told. Law: `Counts.from_json(c.to_json()) == c`.

    Attributes:
        asked: frames of which a picture left. answered: in time.
        late: after the deadline, or not within twice that. refused: by the server, and it said why.
        failed: no line, so that nothing left, or what came was no answer.
        bytes: of pictures that left. breaker: as it stands.
    """

    asked: int = 0
    answered: int = 0
    late: int = 0
    refused: int = 0
    failed: int = 0
    bytes: int = 0
    breaker: str = Standing.CLOSED.value

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Counts:
        """Of an agent older or newer than this one. Raises KeyError, TypeError or ValueError where it is none."""
        numbers = {each.name: int(value[each.name]) for each in fields(cls) if each.name != "breaker"}
        return cls(**numbers, breaker=str(value["breaker"])[:20])

    def __str__(self) -> str:
        parts = (f"{self.answered} answered in time", *(f"{n} {name}" for name, n in self._wrong.items() if n))
        said = f"asked about {self.asked} frames: {', '.join(parts)}, {self.bytes} bytes left"
        return said if self.breaker == Standing.CLOSED else f"{said}; the breaker is {self.breaker}"

    @property
    def _wrong(self) -> dict[str, int]:
        return {"late": self.late, "refused": self.refused, "failed": self.failed}


@dataclass
class Share:
    """Of the frames that were looked at, those that were asked about. Law: never more than `share` of the last
    WINDOW frames (of 1 / share, where that is more), nor of all where there were fewer."""

    share: float
    _seen: deque[bool] = field(init=False)
    _asked: int = 0

    def __post_init__(self) -> None:
        self._seen = deque(maxlen=max(WINDOW, math.ceil(1 / self.share)) if self.share else 1)

    def look(self) -> bool:
        """A frame more, and whether it may be asked about. `take` says that it is."""
        if len(self._seen) == self._seen.maxlen:
            self._asked -= self._seen[0]
        self._seen.append(False)
        return self._asked + 1 <= self.share * len(self._seen)

    def take(self) -> None:
        """The frame that was looked at last."""
        self._asked += not self._seen[-1]
        self._seen[-1] = True


@dataclass
class Link:
    """Bytes that may leave. Law: in no hour more than `bytes_an_hour`."""

    bytes_an_hour: int
    _has: float = 0.0
    _at: float | None = None

    @property
    def holds(self) -> float:
        """What it has at most."""
        return self.bytes_an_hour * _BURST

    def has(self, n_bytes: int, *, now: float) -> bool:
        since = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now if self._at is None else max(now, self._at)
        self._has = min(self.holds, self._has + since * self.bytes_an_hour * (1 - _BURST) / 3600)
        return n_bytes <= self._has

    def take(self, n_bytes: int, *, now: float) -> bool:
        """Whether so many may leave; then they have."""
        if not self.has(n_bytes, now=now):
            return False
        self._has -= n_bytes
        return True


@dataclass
class Breaker:
    """Law: open, nobody is asked before its pause is over; half-open, one is at a time."""

    _failures: int = 0
    _pause_s: float = PAUSE_S
    _until: float | None = None
    _probing: bool = False

    def standing(self, now: float) -> Standing:
        if self._until is None:
            return Standing.CLOSED
        return Standing.OPEN if now < self._until and not self._probing else Standing.HALF_OPEN

    def allows(self, now: float) -> bool:
        return self.standing(now) is Standing.CLOSED or (self.standing(now) is Standing.HALF_OPEN and not self._probing)

    def begin(self, now: float) -> None:
        """One is asked."""
        self._probing = self.standing(now) is Standing.HALF_OPEN

    def drop(self) -> None:
        """What began was not sent: it says nothing of the line."""
        self._probing = False

    def succeed(self) -> None:
        self._failures, self._pause_s, self._until, self._probing = 0, PAUSE_S, None, False

    def fail(self, now: float) -> None:
        self._failures += 1
        if self._probing:
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        if self._probing or self._failures >= FAILURES:
            self._until = now + self._pause_s
        self._probing = False


class Escalation:
    """One frame is asked about at a time: after `ask` comes `failed` where there is no line, or `may_leave`, and where
    that is so `answered` or `failed`; else `dropped`. The clock begins at `ask`.
    """

    def __init__(self, policy: EscalationPolicy) -> None:
        self.policy = policy
        self._share, self._link, self._breaker = Share(policy.share), Link(policy.bytes_an_hour), Breaker()
        self._counts = Counts()
        self._asked_at: float | None = None
        self._last_bytes = 0

    @property
    def asking(self) -> bool:
        """Whether a frame is being asked about."""
        return self._asked_at is not None

    @property
    def deadline_s(self) -> float:
        return self.policy.deadline_ms / 1000

    def consider(self, doubt: float, *, now: float) -> Verdict:
        """Of each frame that is looked at, once it has its local answer."""
        within_share = self._share.look()
        expected = min(self._last_bytes, int(self._link.holds))  # or none would be tried after one that was too large
        checks = (
            (Verdict.SURE, doubt >= self.policy.doubt),
            (Verdict.BUSY, self._asked_at is None),
            (Verdict.OPEN, self._breaker.allows(now)),
            (Verdict.SHARE, within_share),
            (Verdict.LINK, self._link.has(expected, now=now)),
        )
        verdict = next((verdict for verdict, passed in checks if not passed), Verdict.ASK)
        if verdict is Verdict.ASK:
            self._asked_at = now
            self._share.take()
            self._breaker.begin(now)
        return verdict

    def may_leave(self, n_bytes: int, *, now: float) -> bool:
        """Whether a picture of so many bytes may: within what the link has left, while there is time for an answer."""
        self._last_bytes = n_bytes
        if self._asked_at is None or now >= self._asked_at + self.deadline_s or not self._link.take(n_bytes, now=now):
            return False
        self._count(asked=1, bytes=n_bytes)
        return True

    def dropped(self) -> None:
        """It did not leave. It counts for the share all the same."""
        self._asked_at = None
        self._breaker.drop()

    def answered(self, *, now: float) -> bool:
        """A good answer came; whether it is in time."""
        if self._asked_at is None or now > self._asked_at + self.deadline_s:
            self.failed("late", now=now)
            return False
        self._asked_at = None
        self._breaker.succeed()
        self._count(answered=1)
        return True

    def failed(self, what: Literal["late", "refused", "failed"], *, now: float) -> None:
        self._asked_at = None
        self._breaker.fail(now)
        self._count(**{what: 1})

    def standing(self, *, now: float) -> Standing:
        return self._breaker.standing(now)

    def told(self, *, now: float) -> Counts:
        """What came of it since this was asked last."""
        counts, self._counts = self._counts, Counts()
        return replace(counts, breaker=self._breaker.standing(now).value)

    def _count(self, **more: int) -> None:
        self._counts = replace(self._counts, **{name: getattr(self._counts, name) + n for name, n in more.items()})
