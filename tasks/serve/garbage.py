"""`edgewright gc`: which artifacts nothing needs any more.

Decides reachability: from the kept runs, every registered model, every release that was published, every review that a
person has answered (it belongs to no run, and nothing can make it again) and a live run, through the inputs of each
artifact and the shards a dataset points at. Refuses to guess: an artifact whose manifest cannot be read is kept, and so
is whatever appeared since the search began.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from edgewright.artifacts import Store
from edgewright.data.dataset import DATASET_FILE
from edgewright.errors import ArtifactCorrupt, ArtifactMissing
from edgewright.settings import Settings
from tasks.engine.journal import Journal, has_result, journals
from tasks.engine.tracking import Tracker


@dataclass(frozen=True)
class OfKind:
    """The garbage of one kind."""

    name: str
    artifacts: int
    bytes: int


@dataclass(frozen=True)
class Garbage:
    """What would be, or was, removed; `kinds` say it again, the largest first."""

    artifacts: tuple[str, ...]
    runs: tuple[str, ...]
    bytes: int
    kinds: tuple[OfKind, ...]
    kept_bytes: int


def find_garbage(store: Store, settings: Settings, tracker: Tracker, *, keep: int) -> Garbage:
    """The artifacts that only runs beyond the newest `keep` reach, and the folders of those runs."""
    known = sorted(store.digests())
    everything = journals(settings.runs)
    counted = [place for place, run in enumerate(everything) if has_result(run.state)][:keep]
    newest = everything[: counted[-1] + 1 if counted else 0]  # starts that failed take nobody's place
    kept = newest + [run for run in everything[len(newest) :] if _still_needed(run)]
    roots = {ref["sha256"] for run in kept for ref in run.state["refs"].values()}
    roots |= tracker.registered_digests() | {digest for digest in known if _stays(store, digest)}
    reached = _reach(store, roots)
    doomed = [digest for digest in known if digest not in reached]
    dropped = [run.run_id for run in everything if run.run_id not in {kept_run.run_id for kept_run in kept}]
    return Garbage(
        tuple(doomed),
        tuple(dropped),
        bytes=sum(_bytes(store, digest) for digest in doomed),
        kinds=_by_kind(store, doomed),
        kept_bytes=sum(_bytes(store, digest) for digest in known if digest in reached),
    )


def remove_garbage(store: Store, settings: Settings, plan: Garbage) -> None:
    """Remove what the plan names. Call it under the home's lock."""
    for digest in plan.artifacts:
        store.delete(digest)
    for run_id in plan.runs:
        shutil.rmtree(settings.runs / run_id, ignore_errors=True)


def _still_needed(run: Journal) -> bool:
    return run.state["status"] in ("running", "waiting", "interrupted")


def _stays(store: Store, digest: str) -> bool:
    """Releases, people's answers, and what cannot be read: whatever the runs are."""
    try:
        content = store.manifest(digest).content
    except ArtifactCorrupt:
        return True
    return content.kind == "release" or (content.stage == "review" and "answers" in content.inputs)


def _reach(store: Store, roots: Iterable[str]) -> set[str]:
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        digest = waiting.pop()
        if digest in reached:
            continue
        reached.add(digest)
        try:
            content = store.manifest(digest).content
            waiting += [value for name, value in content.inputs.items() if name != "source"]
            if DATASET_FILE in content.files:
                shards = json.loads(store.file(digest, DATASET_FILE).read_bytes())["shards"].values()
                waiting += [place["artifact"] for place in shards if place["artifact"]]
        except (ArtifactMissing, ArtifactCorrupt):
            continue  # nothing more can be learned from it; it stays
    return reached


def _by_kind(store: Store, digests: Iterable[str]) -> tuple[OfKind, ...]:
    found: dict[str, list[int]] = {}
    for digest in digests:
        found.setdefault(store.manifest(digest).content.kind, []).append(_bytes(store, digest))
    kinds = [OfKind(name, len(sizes), sum(sizes)) for name, sizes in found.items()]
    return tuple(sorted(kinds, key=lambda kind: -kind.bytes))


def _bytes(store: Store, digest: str) -> int:
    try:
        return sum(entry.bytes for entry in store.manifest(digest).content.files.values())
    except (ArtifactMissing, ArtifactCorrupt):
        return 0
