"""A start: the slot that runs proves itself, or the other one runs. Never needs the network.

Decides what to fall back to, whom to blame, and when a release on trial is committed. Refuses to run a slot that fails
its self-test. Where none passes nothing is taken away: what failed in a hot hour may pass in the next, and without a
network there is nothing else. Files that rotted an update brings back. On a disk that takes no more, a start on trial
cannot be counted: the proven slot runs for now, and the trial goes on once the disk is well.

>>> start(slots).slot
'a'
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from edgewright.device.core import FallBack, State, on_fallen_back, on_frame, on_start, other
from edgewright.device.process import SelfTester, selftest_in_child
from edgewright.device.slots import Slots
from edgewright.errors import ArtifactCorrupt, InputError, StoreUnavailable
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.selftest import SelfTest


@dataclass(frozen=True)
class Started:
    """The slot that runs now.

    Attributes:
        fell_back: why it is not the one that the state named; empty where it is.
    """

    slot: str
    bundle: Bundle
    selftest: SelfTest
    fell_back: str


def start(slots: Slots, *, selftest: SelfTester = selftest_in_child) -> Started:
    """A start on trial is written down before its self-test: it counts, should that take the whole device down.

    Where it cannot be written down the proven slot runs, and the state stays as it is.

    Raises InputError where nothing is installed, ArtifactCorrupt where no slot passes its self-test, StoreUnavailable
    where it was ended from outside: then it was no start.
    """
    before = slots.state()
    if not before.active:
        raise InputError("no release is installed", where=slots.home.root, next_step="edgewright-device update")
    state, action = on_start(before)
    try:
        if state != before:
            slots.save(state)
    except OSError as error:
        return _uncounted(slots, before, f"a start on trial cannot be written down: {error}", selftest)
    if isinstance(action, FallBack):
        return _fall_back(slots, action.why, selftest, blamed=slots.manifest_sha256(state.active), tested=False)
    try:
        bundle, proof = _check(slots, action.slot, selftest)
    except StoreUnavailable:
        with suppress(OSError):
            take_back(slots)
        raise
    if bundle and proof.passed:
        return Started(action.slot, bundle, proof, fell_back="")
    # Files that rotted are no fault of the release, nor is what befalls a proven one: it is fetched again.
    blamed = bundle.manifest_sha256 if bundle and state.on_trial else ""
    return _fall_back(slots, "; ".join(proof.reasons), selftest, blamed=blamed, tested=True)


def take_back(slots: Slots) -> None:
    """A start that ended because somebody ended it, or for want of a picture, says nothing of a release on trial."""
    state = slots.state()
    if state.on_trial and state.starts:
        slots.save(replace(state, starts=state.starts - 1))


def commit(slots: Slots) -> None:
    """The release on trial has detected on a frame: it is what to fall back to from now on."""
    state = slots.state()
    if state.on_trial and slots.bundle(state.active):
        slots.save(on_frame(state))


def _fall_back(slots: Slots, reason: str, selftest: SelfTester, *, blamed: str, tested: bool) -> Started:
    """Args: blamed: manifest of the release that failed; "" where it was not the release. tested: its slot was."""
    state = slots.state()
    failed, slot = state.active, other(state.active)
    bundle, proof = _check(slots, slot, selftest)
    if bundle and proof.passed:
        with suppress(OSError):  # it runs all the same, and each start comes to the same until that can be written
            slots.save(on_fallen_back(state, slot, failed=blamed))
            slots.withdraw(failed)
        return Started(slot, bundle, proof, fell_back=f"slot {failed} failed: {reason}")
    got = f"slot {failed}: {reason}; slot {slot}: {'; '.join(proof.reasons)}"
    if not tested:  # there is nothing better
        bundle, proof = _check(slots, failed, selftest)
        if bundle and proof.passed:
            return Started(failed, bundle, proof, fell_back="")
        got = f"{got}; slot {failed} again: {'; '.join(proof.reasons)}"
    raise ArtifactCorrupt("no slot passes its self-test", got=got, next_step="edgewright-device update")


def _uncounted(slots: Slots, state: State, reason: str, selftest: SelfTester) -> Started:
    """Nothing can be written: what is proven runs; where nothing is, or that fails, what is on trial."""
    reasons = []
    for slot in filter(None, (state.proven, state.active)):
        bundle, proof = _check(slots, slot, selftest)
        if bundle and proof.passed:
            return Started(slot, bundle, proof, fell_back="" if slot == state.active else reason)
        reasons.append(f"slot {slot}: {'; '.join(proof.reasons)}")
    raise ArtifactCorrupt("no slot passes its self-test", got="; ".join(reasons), next_step="edgewright-device update")


def _check(slots: Slots, slot: str, selftest: SelfTester) -> tuple[Bundle | None, SelfTest]:
    try:
        bundle = Bundle.load(slots.folder(slot))
    except ArtifactCorrupt as error:
        return None, SelfTest.failed(str(error))
    return bundle, selftest(slots.folder(slot))
