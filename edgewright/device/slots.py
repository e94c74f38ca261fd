"""Two slots, and the one file that says which of them runs.

Decides which slot runs, which may be overwritten, and what happens after a start that fails. A slot holds a bundle
once its manifest, which is written last, is there; the switch is one atomic rename of `state.json`. A new release is
on trial until it has detected on a frame; three starts without that, or a failed self-test, and the other slot runs
again. Refuses nothing that is signed: that was decided before a bundle came here.

    active == proven    committed        active != proven    on trial, `proven` is what to fall back to

>>> State().switched("a").committed(release=3)
State(active='a', proven='a', starts=0, min_release=3)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgewright.device.home import Home
from edgewright.errors import ArtifactCorrupt
from edgewright.runtime.bundle import MANIFEST_FILE, Bundle

SLOTS = ("a", "b")
MAX_TRIAL_STARTS = 3
_NONE = ""


@dataclass(frozen=True)
class State:
    """Which slot runs. Every change is a new state; laws: `min_release` never falls, `candidate` is never `proven`.

    Attributes:
        active: the slot that runs, or "" before the first install.
        proven: the slot that was committed last, or "".
        starts: starts of a release on trial that have not come to a frame.
        min_release: releases below are refused, however well they are signed.
    """

    active: str = _NONE
    proven: str = _NONE
    starts: int = 0
    min_release: int = 0

    def __post_init__(self) -> None:
        if not {self.active, self.proven} <= {*SLOTS, _NONE} or self.starts < 0 or self.min_release < 0:
            raise ValueError(f"not a state: {self}")

    @property
    def on_trial(self) -> bool:
        return self.active != self.proven

    @property
    def candidate(self) -> str:
        """The slot that the next release may overwrite."""
        kept = self.proven or self.active
        return other(kept) if kept else SLOTS[0]

    def switched(self, slot: str) -> State:
        return replace(self, active=slot, starts=0)

    def started(self) -> State:
        return replace(self, starts=self.starts + 1)

    def committed(self, *, release: int) -> State:
        return replace(self, proven=self.active, starts=0, min_release=max(self.min_release, release))

    def fell_back(self, slot: str) -> State:
        """The other slot runs, and is what there is to fall back to."""
        return replace(self, active=slot, proven=slot, starts=0)

    def to_bytes(self) -> bytes:
        document = asdict(self)
        return json.dumps({"state": document, "sha256": _sha256(document)}, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, payload: bytes) -> State:
        """Law: `from_bytes(s.to_bytes()) == s`. Raises ValueError where a bit has changed."""
        try:
            document = json.loads(payload)
            if document["sha256"] != _sha256(document["state"]):
                raise ValueError("state.json does not match its checksum")
            return cls(**document["state"])
        except (KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"not a state: {error}") from error


class Slots:
    """The slots of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._path = home.root / "state.json"

    def folder(self, slot: str) -> Path:
        return self.home.root / "slots" / slot

    def bundle(self, slot: str) -> Bundle | None:
        """The slot's bundle with every file checked; None where there is none or it is damaged."""
        try:
            return Bundle.load(self.folder(slot)) if slot else None
        except ArtifactCorrupt:
            return None

    def state(self) -> State:
        """From `state.json`; where that is missing or damaged, from what the slots hold."""
        try:
            return State.from_bytes(self._path.read_bytes())
        except (OSError, ValueError):
            return self._rebuilt()

    def save(self, state: State) -> State:
        self.home.files.replace(self._path, state.to_bytes())
        return state

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
        return State(active=active, proven=proven, min_release=max(releases.values()))


def other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


def _sha256(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
