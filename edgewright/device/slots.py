"""Two slots, and the one file that says which of them runs.

Decides nothing (`core.py` does): what a slot holds, and how that and the state are read and written. A slot holds a
bundle once its manifest, which is written last, is there; the switch is one atomic rename of `state.json`. Where that
file is missing or damaged its copy is read, which is written before it: the same state or the next, and nothing that
has been overwritten since. Where both are, the state is made anew from what the slots hold.

    slots = Slots(home)
    slots.save(slots.state().switched("b"))
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from edgewright.device.core import SLOTS, State, other
from edgewright.device.home import Home
from edgewright.device.outbox import noting
from edgewright.errors import ArtifactCorrupt
from edgewright.runtime.bundle import MANIFEST_FILE, Bundle

STATE_FILE, STATE_COPY = "state.json", "state.bak"


class Slots:
    """The slots of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._path, self._copy = home.root / STATE_FILE, home.root / STATE_COPY

    def folder(self, slot: str) -> Path:
        return self.home.root / "slots" / slot

    def bundle(self, slot: str) -> Bundle | None:
        """The slot's bundle with every file checked; None where there is none or it is damaged."""
        try:
            return Bundle.load(self.folder(slot)) if slot else None
        except ArtifactCorrupt:
            return None

    def state(self) -> State:
        """From `state.json`; where that is missing or damaged, from its copy; else from what the slots hold."""
        for path in (self._path, self._copy):
            with suppress(OSError, ValueError):
                return State.from_bytes(path.read_bytes())
        return self._rebuilt()

    @property
    def holds(self) -> dict[str, str]:
        """Slot => sha256 of the manifest of its whole bundle."""
        return {slot: bundle.manifest_sha256 for slot in SLOTS if (bundle := self.bundle(slot))}

    def save(self, state: State) -> State:
        """Law: cut off anywhere, `state()` is the old one or this; each is noted before the next takes its place."""
        with noting(self.home) as note:
            note(self.state())
            for path in (self._copy, self._path):
                self.home.files.replace(path, state.to_bytes())
            note(state)
        return state

    def manifest_sha256(self, slot: str) -> str:
        """Of the manifest that lies in the slot, whatever else does; "" where there is none."""
        try:
            return hashlib.sha256((self.folder(slot) / MANIFEST_FILE).read_bytes()).hexdigest()
        except OSError:
            return ""

    def withdraw(self, slot: str) -> None:
        """Without its manifest a slot holds no bundle; its other files spare the next download."""
        self.home.files.remove(self.folder(slot) / MANIFEST_FILE)
        self.home.files.fsync_dir(self.folder(slot))

    def _rebuilt(self) -> State:
        """The highest release runs, on trial where there is another to fall back to.

        A bundle that failed its self-test is not there to be chosen: it was withdrawn.
        """
        releases = {slot: bundle.manifest.release for slot in SLOTS if (bundle := self.bundle(slot))}
        if not releases:
            return State()
        active = max(releases, key=lambda slot: releases[slot])
        proven = other(active) if len(releases) == len(SLOTS) else active
        return State(active=active, proven=proven)
