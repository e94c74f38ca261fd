"""What a device does next: events in, actions and a new state out. No file, no clock, no network.

Decides when a release is fetched and into which slot, when it runs, when it counts as proven and when the other slot
runs again. A new release is on trial until it has detected on a frame; three starts without that, or a failed
self-test, and the other slot runs. What failed here is not tried again until it changes. Refuses what is below the
floor: it rises with what is signed offline, and falls by that alone. Floors, policies and failures are of one channel.

    active == proven    committed        active != proven    on trial, `proven` is what to fall back to

>>> state, action = on_offer(State(), Offer(3, "ab", Policy(version=1, floor=2)), holds={})
>>> action
Install(slot='a')
>>> after = on_proof(state, "a", "ab", passed=True)
>>> after.active, after.on_trial, after.floor
('a', True, 2)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from edgewright.device.offer import NO_WISH, Policy, Wish

SLOTS = ("a", "b")
MAX_TRIAL_STARTS = 3
MAX_FAILED = 8
"""Releases that are remembered to have failed; of more the oldest is forgotten."""
_NONE = ""


@dataclass(frozen=True)
class State:
    """Which slot runs. Every change is a new state; law: `candidate` is never `proven`.

    Attributes:
        active: the slot that runs, or "" before the first install.
        proven: the slot that was committed last, or "".
        starts: starts of a release on trial that have not come to a frame.
        floor: releases below are refused, however well they are signed.
        policy: version of the channel's policy that was heeded last.
        failed: sha256 of the manifests of releases that failed here, the newest last.
        offered, offered_manifest: the release that the channel offered last, and sha256 of its manifest.
        seen: the newest time that was signed, seconds since 1970: it is no earlier now. Never a clock's.
        seen_by: the keys that could sign it, as `trust.py` joins them; "" where nobody noted it.
        channel: whose floor, policy, failures and offer these are; "" where nobody noted it.
    """

    active: str = _NONE
    proven: str = _NONE
    starts: int = 0
    floor: int = 0
    policy: int = 0
    failed: tuple[str, ...] = ()
    offered: int = 0
    offered_manifest: str = ""
    seen: int = 0
    seen_by: str = ""
    channel: str = ""

    def __post_init__(self) -> None:
        numbers = (self.starts, self.floor, self.policy, self.seen)
        if not {self.active, self.proven} <= {*SLOTS, _NONE} or min(numbers) < 0:
            raise ValueError(f"not a state: {self}")

    @property
    def on_trial(self) -> bool:
        return self.active != self.proven

    @property
    def offer_failed(self) -> bool:
        """Whether what was offered last does not run here because it failed."""
        return self.offered_manifest in self.failed

    @property
    def candidate(self) -> str:
        """The slot that the next release may overwrite."""
        kept = self.proven or self.active
        return other(kept) if kept else SLOTS[0]

    def switched(self, slot: str) -> State:
        return replace(self, active=slot, starts=0)

    def started(self) -> State:
        return replace(self, starts=self.starts + 1)

    def committed(self) -> State:
        return replace(self, proven=self.active, starts=0)

    def fell_back(self, slot: str) -> State:
        """The other slot runs, and is what there is to fall back to."""
        return replace(self, active=slot, proven=slot, starts=0)

    def heeding(self, policy: Policy) -> State:
        """Floors rise with every policy; one alone that is newer than the last and allows it lowers them.

        A device that missed that one, and sees a later one that no longer allows it, keeps its higher floor: it was
        never told to lower it. The first policy takes the place of what an agent 0.1.0 took for a floor by itself.
        """
        lowered = policy.allow_rollback_to
        if policy.version <= self.policy:
            return replace(self, floor=max(self.floor, policy.floor if lowered is None else lowered))
        kept = self.floor if self.policy else 0
        return replace(self, policy=policy.version, floor=max(kept, policy.floor) if lowered is None else lowered)

    def on_channel(self, channel: str) -> State:
        """What was learnt of another channel says nothing of this one; one that nobody noted is taken for this one."""
        if self.channel in (_NONE, channel):
            return replace(self, channel=channel)
        return replace(self, channel=channel, floor=0, policy=0, failed=(), offered=0, offered_manifest="")

    def trusting(self, keys: str) -> State:
        """A time that others signed is forgotten, so that new keys heal a wrong one; `keys` may sign now by the root.

        Where nobody noted who signed, these are taken for them.
        """
        if not keys:
            return self
        return replace(self, seen=self.seen if self.seen_by in (_NONE, keys) else 0, seen_by=keys)

    @property
    def forgiving(self) -> State:
        """What failed may be tried once more."""
        return replace(self, failed=())

    def having_failed(self, manifest: str) -> State:
        kept = tuple(each for each in self.failed if each != manifest)
        return replace(self, failed=(*kept, manifest)[-MAX_FAILED:])

    def to_bytes(self) -> bytes:
        document = {**asdict(self), "failed": list(self.failed)}
        return json.dumps({"state": document, "sha256": _sha256(document)}, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> State:
        """Law: `from_bytes(s.to_bytes()) == s`. Raises ValueError where a bit has changed.

        What older agents wrote is read: they took the release that they had committed for a floor. So is what newer
        ones wrote, without what only they know.
        """
        try:
            document = json.loads(payload)
            if document["sha256"] != _sha256(document["state"]):
                raise ValueError("state.json does not match its checksum")
            written: dict[str, Any] = {**document["state"]}
            if "min_release" in written:
                written["floor"] = written.pop("min_release")
            known = {each.name: written[each.name] for each in fields(cls) if each.name in written}
            return cls(**{**known, "failed": tuple(known.get("failed", ()))})
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a state: {error}") from error


@dataclass(frozen=True)
class Offer:
    """What the channel offers this device.

    Attributes:
        manifest: sha256 of the release's signed manifest.
        issued: when that was signed to be the newest, seconds since 1970.
        issued_by: the keys that may say so, as the newest root names them; "" where nobody asks.
        tier: of the bundle; "" in a repository that has none.
    """

    release: int
    manifest: str
    policy: Policy
    issued: int = 0
    issued_by: str = ""
    tier: str = ""


@dataclass(frozen=True)
class Stay:
    """The slot that the state names holds the offered release, or somebody at the device wants no other."""

    held: bool = False


@dataclass(frozen=True)
class Refuse:
    """Attributes: why: in a sentence, with what was expected and what was got."""

    why: str
    expected: str
    got: str


@dataclass(frozen=True)
class Install:
    """Make the slot hold the release, prove it there, and tell `on_proof`."""

    slot: str


def on_offer(
    state: State, offer: Offer, *, holds: Mapping[str, str], wish: Wish = NO_WISH
) -> tuple[State, Stay | Refuse | Install]:
    """The channel was asked.

    Args:
        wish: of somebody at the device.
        holds: slot => sha256 of the manifest of the whole bundle in it.
    """
    state = state.heeding(offer.policy).trusting(offer.issued_by)
    state = replace(state, offered=offer.release, offered_manifest=offer.manifest, seen=max(state.seen, offer.issued))
    if wish.hold:
        return state, Stay(held=True)
    if offer.release < state.floor:
        return state, Refuse("a release below the channel's floor", f">= {state.floor}", str(offer.release))
    if state.active and holds.get(state.active) == offer.manifest:
        return state, Stay()
    if offer.manifest in state.failed:
        return state, Refuse(
            "a release that failed on this device", "another one, or a change of it", offer.manifest[:12]
        )
    if state.on_trial and state.proven:
        state = state.fell_back(state.proven)  # the slot on trial is the one to overwrite
        if holds.get(state.active) == offer.manifest:
            return state, Stay()
    return state, Install(state.candidate)


def on_proof(state: State, slot: str, manifest: str, *, passed: bool) -> State:
    """A release was installed and tested: it runs on trial, or is not tried again."""
    return state.switched(slot) if passed else state.having_failed(manifest)


@dataclass(frozen=True)
class Try:
    """Test the slot and run it; tell `on_tried`."""

    slot: str


@dataclass(frozen=True)
class FallBack:
    """Test the other slot and run that; `why` says what was wrong with the first."""

    slot: str
    why: str


def on_start(state: State) -> tuple[State, Try | FallBack]:
    """The device starts. `state.active` must be a slot."""
    if not state.on_trial:
        return state, Try(state.active)
    if state.proven and state.starts >= MAX_TRIAL_STARTS:
        return state, FallBack(other(state.active), f"{state.starts} starts on trial without a frame")
    return state.started(), Try(state.active)


def on_fallen_back(state: State, slot: str, *, failed: str) -> State:
    """The other slot was proven. `failed`: manifest of the release that is to blame, "" where none is."""
    state = state.fell_back(slot)
    return state.having_failed(failed) if failed else state


def on_frame(state: State) -> State:
    """A frame was detected on: what is on trial is what to fall back to from now on."""
    return state.committed() if state.on_trial else state


def other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _sha256(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
