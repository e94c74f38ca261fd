"""A start: the slot that runs proves itself, or the other one runs. Never needs the network.

Decides what to fall back to, and when a release on trial is committed. Refuses to run a slot that fails its self-test.

>>> start(slots).slot
'a'
"""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.device.process import SelfTester, selftest_in_child
from edgewright.device.slots import MAX_TRIAL_STARTS, Slots, other
from edgewright.errors import ArtifactCorrupt, InputError
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
    """Raises InputError where nothing is installed, ArtifactCorrupt where no slot passes its self-test."""
    state = slots.state()
    if not state.active:
        raise InputError("no release is installed", where=slots.home.root, next_step="edgewright-device update")
    tried_out = state.on_trial and bool(state.proven) and state.starts >= MAX_TRIAL_STARTS
    if state.on_trial and not tried_out:
        state = slots.save(state.started())
    reason = f"{state.starts} starts on trial without a frame" if tried_out else ""
    if not reason:
        bundle, proof = _check(slots, state.active, selftest)
        if bundle and proof.passed:
            return Started(state.active, bundle, proof, fell_back="")
        reason = "; ".join(proof.reasons)
    return _fall_back(slots, reason, selftest)


def commit(slots: Slots) -> None:
    """The release on trial has detected on a frame: it is what to fall back to from now on."""
    state = slots.state()
    bundle = slots.bundle(state.active)
    if state.on_trial and bundle:
        slots.save(state.committed(release=bundle.manifest.release))


def _fall_back(slots: Slots, reason: str, selftest: SelfTester) -> Started:
    state = slots.state()
    failed, slot = state.active, other(state.active)
    bundle, proof = _check(slots, slot, selftest)
    if not (bundle and proof.passed):
        got = f"slot {failed}: {reason}; slot {slot}: {'; '.join(proof.reasons)}"
        raise ArtifactCorrupt("no slot passes its self-test", got=got, next_step="edgewright-device update")
    slots.save(state.fell_back(slot))
    slots.withdraw(failed)
    return Started(slot, bundle, proof, fell_back=f"slot {failed} failed: {reason}")


def _check(slots: Slots, slot: str, selftest: SelfTester) -> tuple[Bundle | None, SelfTest]:
    try:
        bundle = Bundle.load(slots.folder(slot))
    except ArtifactCorrupt as error:
        return None, SelfTest.failed(str(error))
    return bundle, selftest(slots.folder(slot))
