"""A fleet in memory: the agent's own core in each of thousands of devices, a release that may be bad, seeded faults.

Decides nothing that the agent or the rollout decide: devices ask, install, start and detect by `device/core.py`, the
rollout moves by `fleet/rollout.py`. What is made up is what a network, a disk and a bad release do to them. Time is
simulated; equal seeds give equal histories.

    fleet = Fleet(10_000, seed=0, release=Behavior(blind=True))
    outcome = fleet.roll_out()
    outcome.took, outcome.rollout.why
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgewright.device.core import (
    FallBack,
    Install,
    Offer,
    State,
    on_fallen_back,
    on_frame,
    on_offer,
    on_proof,
    on_start,
)
from edgewright.device.offer import Policy
from edgewright.fleet.rollout import DWELL_S, STAGES, Rollout, Told, begin, step

POLL_S = 300.0
OLD, NEW = 1, 2


@dataclass(frozen=True)
class Behavior:
    """What a release does on a device.

    Attributes:
        fails: share of devices on which its self-test fails. crashes: that come to no frame with it.
        slow: times its frame takes. blind: it passes its golden pictures and finds nothing in the field.
    """

    fails: float = 0.0
    crashes: float = 0.0
    slow: float = 1.0
    blind: bool = False


@dataclass
class SimulatedDevice:
    """Attributes: holds: slot => release. lucky: in [0, 1): below a release's share of failures it fails here."""

    name: str
    state: State
    holds: dict[str, int]
    lucky: float
    p95_ms: float
    detections: float
    offered: int = OLD
    fell_back: bool = False
    took: bool = False

    @property
    def release(self) -> int:
        return self.holds[self.state.active]

    def poll(self, offered: int, behavior: Behavior) -> None:
        """Ask, install what is offered, start it, detect on a frame."""
        self.offered, self.fell_back = offered, False
        offer = Offer(offered, str(offered), Policy())
        held = {slot: str(release) for slot, release in self.holds.items()}
        self.state, action = on_offer(self.state, offer, holds=held)
        if not isinstance(action, Install):
            self.fell_back = str(offered) in self.state.failed
            return
        bad = behavior if offered == NEW else Behavior()
        self.holds[action.slot] = offered
        self.state = on_proof(self.state, action.slot, str(offered), passed=self.lucky >= bad.fails)
        self.took |= offered == NEW and self.state.active == action.slot
        if self.state.active != action.slot:
            self.fell_back = True
            return
        self._start(crashes=self.lucky < bad.fails + bad.crashes)

    def _start(self, *, crashes: bool) -> None:
        """Until it comes to a frame, or the agent gives the release up."""
        while True:
            self.state, action = on_start(self.state)
            if isinstance(action, FallBack):
                blamed = str(self.release)
                self.state = on_fallen_back(self.state, self.state.proven, failed=blamed)
                self.fell_back = True
                return
            if not crashes:
                self.state = on_frame(self.state)
                return

    def tell(self, at: float, behavior: Behavior) -> Told:
        bad = behavior if self.release == NEW else Behavior()
        return Told(
            at=at,
            release=self.release,
            offered=self.offered,
            failed=self.fell_back,
            p95_ms=self.p95_ms * bad.slow,
            detections=0.0 if bad.blind else self.detections,
            rss_mb=80.0,
        )


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    took: devices that ever ran the release. runs_old: devices that run the old one at the end.
    polls: rounds until the rollout ended, and one more.
    """

    rollout: Rollout
    took: int
    runs_old: int
    polls: int


class Fleet:
    """`n` devices that run the old release."""

    def __init__(self, n: int, *, seed: int, release: Behavior, silent: float = 0.02, loss: float = 0.1) -> None:
        """Args: silent: share of devices that never answer. loss: share of polls that get lost."""
        self._rng = np.random.default_rng(seed)
        self.behavior, self.loss = release, loss
        self.devices = [
            SimulatedDevice(
                f"device-{number:05d}",
                State("a", "a"),
                {"a": OLD},
                lucky=float(self._rng.random()),
                p95_ms=float(self._rng.uniform(10, 40)),
                detections=float(self._rng.normal(4, 1)),
            )
            for number in range(n)
        ]
        self._silent = set(self._rng.permutation(n)[: round(silent * n)].tolist())

    def roll_out(
        self, *, most_polls: int = 400, stages: tuple[float, ...] = STAGES, dwell_s: float = DWELL_S
    ) -> Outcome:
        """Until it has ended and every device has asked once more; or for so many rounds."""
        told = {device.name: device.tell(0.0, self.behavior) for device in self.devices}
        names = list(told)
        rollout = begin(
            "simulated", release=NEW, otherwise=OLD, told=told, devices=names, now=0.0, stages=stages, dwell_s=dwell_s
        )
        polls, ended = 0, False
        while polls < most_polls and not ended:
            ended = rollout.ended
            polls += 1
            now = polls * POLL_S
            lost = self._rng.random(len(self.devices)) < (0.0 if ended else self.loss)
            for number, device in enumerate(self.devices):
                if number in self._silent or lost[number]:
                    continue
                device.poll(rollout.plan.chosen(device.name, running=device.release), self.behavior)
                told[device.name] = device.tell(now, self.behavior)
            rollout = step(rollout, told, devices=names, now=now)
        old = sum(device.release == OLD for device in self.devices)
        return Outcome(replace(rollout, before={}), sum(device.took for device in self.devices), old, polls)
