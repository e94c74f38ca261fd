"""Update: fetch the channel's release into the slot that does not count, prove it there, then switch.

Decides when the pointer moves: after every file is verified, durable, and the self-test has passed in a child process.
Of two models it fetches the one for this processor. What is offered is decided on in `core.py`. Refuses a release that
is not permitted or below the floor, one that failed here, a bundle for a newer agent or another channel, one that does
not fit on the disk, one that fails its self-test. Until the pointer moves, the slot that runs has not been touched.

    metadata -> manifest -> space -> files -> manifest written last -> self-test -> switch (on trial)

>>> update(home).changed
True
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import edgewright
from edgewright.device.core import Offer, Refuse, Stay, on_offer, on_proof
from edgewright.device.download import forget_parts, part_of
from edgewright.device.home import Home, wish_of
from edgewright.device.keeping import keep_policy
from edgewright.device.offer import Wish
from edgewright.device.process import SelfTester, selftest_in_child
from edgewright.device.slots import Slots
from edgewright.device.trust import Channel, open_channel
from edgewright.errors import ArtifactCorrupt, StoreUnavailable, UpdateRefused
from edgewright.runtime.bundle import (
    MANIFEST_FILE,
    MAX_MANIFEST_BYTES,
    Bundle,
    BundleManifest,
    FileEntry,
    check_file,
    parse_version,
)
from edgewright.runtime.instruction_sets import this_processor
from edgewright.runtime.selftest import SelfTest

NEEDS_AGENT = "the release needs a newer agent"
_SPARE_BYTES = 1_000_000
"""Left free for state, metadata and reports."""


@dataclass(frozen=True)
class Update:
    """What an update came to.

    Attributes:
        changed: whether another slot runs than before.
        selftest: in the new slot; None where nothing was installed.
        downloaded_bytes: of the release's files, over the line, now: what a cut-off download had left is not fetched
            again, and what was brought by hand did not come that way.
        tier: of the bundle that the device is to run; "" in a repository without tiers.
    """

    changed: bool
    slot: str
    release: int
    digest: str
    selftest: SelfTest | None
    downloaded_bytes: int
    tier: str = ""


def update(
    home: Home,
    *,
    selftest: SelfTester = selftest_in_child,
    again: bool = False,
    folder: Path | None = None,
    hour: int | None = None,
) -> Update:
    """Bring the device to the release that it is to run, on trial; law: `update` twice is `update` once.

    Args:
        again: what failed here is tried once more.
        folder: a repository that was brought by hand; none: the device's server.
        hour: local, of the day; the clock's unless told. What a slot holds already is not fetched, and runs at any.

    Raises:
        UpdateRefused: the release is not acceptable; the running slot is untouched.
        DeviceUnreachable: the server cannot be reached.
        StoreUnavailable: the disk is full or broken; the running slot is untouched.
    """
    try:
        with open_channel(home, folder=folder, state=Slots(home).state()) as channel:
            wish, now = wish_of(home), datetime.now().astimezone().hour if hour is None else hour
            late = f"{now} o'clock" if folder is None and not wish.fetches_at(now) else ""
            return _update(home, channel, selftest, again=again, wish=wish, late=late)
    except OSError as error:
        raise StoreUnavailable("the device's disk cannot be written", got=error, where=home.root) from error


def _update(home: Home, channel: Channel, selftest: SelfTester, *, again: bool, wish: Wish, late: str) -> Update:
    """`late`: the hour, where it is none in which files are fetched."""
    slots = Slots(home)
    before = slots.state().forgiving if again else slots.state()
    running, holds = _release_in(slots, before.active), slots.holds
    offer = channel.offer_to(home.config.device_id, running=running, pinned=wish.pin)
    state, action = on_offer(before.on_channel(home.config.channel), offer, holds=holds, wish=wish)
    keep_policy(home, offer.policy.frames)
    if isinstance(action, Refuse | Stay) and state != before:
        slots.save(state)  # what is signed offline holds from now on, whatever is offered
    if isinstance(action, Refuse):
        raise UpdateRefused(action.why, expected=action.expected, got=action.got)
    if isinstance(action, Stay):
        return _stayed(slots, state.active, tier=offer.tier, changed=state.active != before.active)
    if late and offer.manifest not in holds.values():
        raise UpdateRefused("outside of the hours in which files are fetched", expected=wish.window, got=late)
    payload = channel.fetch(offer, MANIFEST_FILE, max_bytes=MAX_MANIFEST_BYTES)
    manifest = _acceptable(payload, channel, offer.release)
    if state != before:
        slots.save(state)
    slot = action.slot
    home.files.make_dir(slots.folder(slot))
    slots.withdraw(slot)
    downloaded_bytes = _fill(slots.folder(slot), manifest, channel, offer)
    home.files.replace(slots.folder(slot) / MANIFEST_FILE, payload)
    forget_parts(home)
    proof = _prove(slots, slot, selftest)
    slots.save(on_proof(state, slot, offer.manifest, passed=proof.passed))
    if not proof.passed:
        slots.withdraw(slot)
        raise UpdateRefused("the release fails its self-test on this device", got="; ".join(proof.reasons))
    return Update(True, slot, manifest.release, manifest.digest, proof, downloaded_bytes, offer.tier)


def _release_in(slots: Slots, slot: str) -> int:
    """Its number on this home's channel; 0 where the slot holds none, or another channel's."""
    bundle = slots.bundle(slot)
    return bundle.manifest.release if bundle and bundle.manifest.channel == slots.home.config.channel else 0


def _stayed(slots: Slots, slot: str, *, tier: str, changed: bool) -> Update:
    """Nothing was installed. Raises UpdateRefused where nothing is there to run."""
    bundle = slots.bundle(slot)
    if bundle is None:
        raise UpdateRefused("nothing is installed, and updates are held here", next_step="edgewright-device wish --go")
    return Update(changed, slot, bundle.manifest.release, bundle.manifest.digest, None, 0, tier)


def _acceptable(payload: bytes, channel: Channel, release: int) -> BundleManifest:
    """The manifest that the signed bytes hold. Raises UpdateRefused."""
    try:
        manifest = BundleManifest.from_bytes(payload, where=MANIFEST_FILE)
    except ArtifactCorrupt as error:
        raise UpdateRefused("the release's manifest cannot be used", got=error) from error
    if manifest.release != release or manifest.channel != channel.home.config.channel:
        got = f"{manifest.channel} {manifest.release}"
        raise UpdateRefused("a manifest for another release or channel", expected=release, got=got)
    if parse_version(edgewright.__version__) < parse_version(manifest.min_agent_version):
        raise UpdateRefused(
            NEEDS_AGENT,
            expected=f">= {manifest.min_agent_version}",
            got=edgewright.__version__,
            next_step="update the edgewright package on the device",
        )
    return manifest


def _fill(folder: Path, manifest: BundleManifest, channel: Channel, offer: Offer) -> int:
    """Make the folder hold the manifest's files for this processor and no others; the bytes that came over the line."""
    before = channel.fetcher.received_bytes
    files, wanted = channel.home.files, manifest.files_for(this_processor())
    missing = {name: entry for name, entry in wanted.items() if not _is_whole(folder / name, entry)}
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and path.relative_to(folder).as_posix() not in set(wanted) - set(missing):
            files.remove(path)
    needed_bytes = sum(entry.bytes for entry in missing.values()) + _SPARE_BYTES
    if files.free_bytes(folder) < needed_bytes:
        forget_parts(channel.home)  # better from the beginning than never
    if files.free_bytes(folder) < needed_bytes:
        free_bytes = files.free_bytes(folder)
        raise UpdateRefused("not enough space", expected=f"{needed_bytes} bytes free", got=free_bytes, where=folder)
    files.make_dir(folder / "golden")
    for name, entry in sorted(missing.items()):
        files.write_new(folder / name, channel.fetch(offer, name, max_bytes=entry.bytes))
        part_of(channel.home, entry.sha256).drop()
    files.fsync_dir(folder / "golden")
    files.fsync_dir(folder)
    return channel.fetcher.received_bytes - before


def _is_whole(path: Path, entry: FileEntry) -> bool:
    try:
        check_file(path, entry)
    except ArtifactCorrupt:
        return False
    return True


def _prove(slots: Slots, slot: str, selftest: SelfTester) -> SelfTest:
    """The slot read back from disk and tested."""
    try:
        Bundle.load(slots.folder(slot))
    except ArtifactCorrupt as error:
        slots.withdraw(slot)
        raise UpdateRefused("the signed files are not what the signed manifest says", got=error) from error
    return selftest(slots.folder(slot))
