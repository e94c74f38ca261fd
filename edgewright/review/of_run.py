"""The review round trip of a run: its doubtful pictures out, a person's labels back as a new data set.

Decides which data set a review is of: `real`, the photographs (people's labels that the labeler doubts, and what it
proposes for photographs that nobody labeled), or `synthetic`, the pictures that the labeler judged, with those that it
left out. What comes back is a new index on the same pictures.

    refs = {"ingest": …, "train_labeler": …, "label": …}          # a run's artifacts by stage
    export_review_of_run(store, refs, part="real", to=Path("review"), format="label-studio", limit=100)
    ref, report = import_review_of_run(store, refs, Path("export.json"), part="real")
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgewright.artifacts import (
    Artifact,
    ArtifactRef,
    Content,
    Record,
    Store,
    canonical_json,
    sha256_bytes,
    sha256_file,
)
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.ingest import ORIGIN_FILE
from edgewright.data.rows import LabelState, Origin, Row, Split
from edgewright.data.splits import LEDGER_FILE
from edgewright.errors import ArtifactMissing, InputError
from edgewright.label.trust.suspects import AUDIT_FILE, Suspect
from edgewright.metrics import metrics_of
from edgewright.progress import OnProgress, silent
from edgewright.recipe.label import LabelConfig
from edgewright.review.queue import Proposals
from edgewright.review.round_trip import ImportReport, ReviewExport, export_review, import_review

Part = Literal["real", "synthetic"]
PARTS = {"real": "ingest", "synthetic": "label"}
"""Part => the stage whose data set it is."""
FLEET_FILE = "fleet.json"
"""Row id => where a hard frame came from: device, release, why."""
CARRIED = (LEDGER_FILE, ORIGIN_FILE, FLEET_FILE)


def export_review_of_run(
    store: Store,
    refs: Mapping[str, ArtifactRef],
    *,
    part: Part = "real",
    to: Path,
    format: str,  # noqa: A002 - the option's name
    limit: int,
    config: LabelConfig | None = None,
    on_progress: OnProgress = silent,
) -> ReviewExport:
    """Write the project of the most doubtful pictures into the new folder `to`.

    Args:
        refs: the run's artifacts by stage.
        config: the run's `label` section: thresholds of what is proposed for unlabeled photographs.

    Raises:
        ArtifactMissing: the run has not come so far.
        InputError: see `export_review`.
    """
    dataset = _dataset(store, refs, part)
    proposals = _proposals(store, refs, dataset, part=part, config=config or LabelConfig(), on_progress=on_progress)
    return export_review(dataset, out=to, format=format, limit=limit, proposals=proposals)


def import_review_of_run(
    store: Store,
    refs: Mapping[str, ArtifactRef],
    path: Path,
    *,
    part: Part = "real",
    format: str = "",  # noqa: A002 - the option's name
    person: str = "",
    when: str = "",
    config: LabelConfig | None = None,
    on_progress: OnProgress = silent,
) -> tuple[ArtifactRef, ImportReport]:
    """Publish the reviewed data set.

    Raises:
        ArtifactMissing: the run has not come so far.
        InputError: see `import_review`.
    """
    dataset = _dataset(store, refs, part)
    proposals = _proposals(store, refs, dataset, part=part, config=config or LabelConfig(), on_progress=on_progress)
    with store.workspace() as out:
        writer = DatasetWriter(out, classes=dataset.classes)
        report = import_review(
            dataset, path, format=format, person=person, when=when, writer=writer, proposals=proposals
        )
        writer.finish()
        carry_over(dataset, out, store)
        content = Content(
            kind="dataset_real" if part == "real" else "dataset_labeled",
            stage="review",
            config={"part": part},
            inputs={"dataset": dataset.ref.sha256, "answers": sha256_file(path)},
        )
        record = Record(
            metrics=metrics_of(report), facts={"persons": list(report.persons), "file": path.name}, created_at=_now()
        )
        return store.publish(out, content, record), report


def dataset_of_run(store: Store, refs: Mapping[str, ArtifactRef]) -> Dataset:
    """The run's photographs. Raises ArtifactMissing: it has not come so far."""
    return _dataset(store, refs, "real")


def carry_over(dataset: Dataset, out: Path, store: Store) -> None:
    """What ingest said of the photographs as a whole stays with them: a run may begin with what comes back."""
    for name in set(CARRIED) & set(dataset.manifest.content.files):
        (out / name).write_bytes(store.file(dataset.ref.sha256, name).read_bytes())


def _dataset(store: Store, refs: Mapping[str, ArtifactRef], part: Part) -> Dataset:
    if part not in PARTS:
        raise InputError("no such part of a run", expected=", ".join(PARTS), got=part)
    dataset = Dataset.open(store, _ref(refs, PARTS[part]))
    return dataset if part == "real" else _with_left_out(dataset, Dataset.open(store, _ref(refs, "generate")), store)


def _with_left_out(judged: Dataset, generated: Dataset, store: Store) -> Dataset:
    """The synthetic pictures alone; those that the labeler left out are found where they were generated."""
    made = {row.id: row for row in generated.usable}
    return Dataset(
        ref=judged.ref,
        manifest=judged.manifest,
        classes=judged.classes,
        rows=[_found(row, made.get(row.id)) for row in judged.rows if row.origin == Origin.SYNTHETIC],
        shards={**generated.shards, **judged.shards},
        locate=store.file,
    )


def _found(row: Row, made: Row | None) -> Row:
    if not row.quarantine or made is None:
        return row
    return replace(row, shard_digest=made.shard_digest, offset=made.offset, bytes=made.bytes)


def _ref(refs: Mapping[str, ArtifactRef], stage: str) -> ArtifactRef:
    if stage not in refs:
        raise ArtifactMissing(
            f"the run has no result of {stage}", got=", ".join(refs), next_step="finish the run first"
        )
    return refs[stage]


def _proposals(
    store: Store,
    refs: Mapping[str, ArtifactRef],
    dataset: Dataset,
    *,
    part: Part,
    config: LabelConfig,
    on_progress: OnProgress,
) -> Proposals:
    """What the run's labeler says of the photographs; what it said of synthetic pictures stands in their labels."""
    if part != "real":
        return Proposals()
    labeler = store.open(_ref(refs, "train_labeler"))
    suspects = [Suspect.from_json(one) for one in labeler.json(AUDIT_FILE)]
    unlabeled = {row.id for row in dataset.select(split=Split.TRAIN) if row.state == LabelState.UNLABELED}
    rows: dict[str, Row] = {}
    if unlabeled:
        ref = _labeled(store, labeler, dataset, config=config, on_progress=on_progress)
        rows = {row.id: row for row in Dataset.open(store, ref).usable if row.id in unlabeled}
    return Proposals(rows, suspects, labeler.ref.sha256)


def _labeled(
    store: Store, labeler: Artifact, dataset: Dataset, *, config: LabelConfig, on_progress: OnProgress
) -> ArtifactRef:
    """The data set with the labeler's labels where nobody gave any. The key holds no code, on purpose: the import must
    find what the export asked, whatever has changed in between."""
    inputs = {"labeler": labeler.ref.sha256, "dataset": dataset.ref.sha256}
    content = Content(kind="dataset_labeled", stage="review", config=config.model_dump(mode="json"), inputs=inputs)
    key = sha256_bytes(canonical_json(["review-proposals", inputs, content.config]))
    ref = store.recall(key)
    if ref is None:
        from edgewright.label.annotate import annotate

        with store.workspace() as out:
            writer = DatasetWriter(out, classes=dataset.classes)
            annotate(labeler, dataset, config, writer=writer, on_progress=on_progress)
            writer.finish()
            ref = store.publish(out, content, Record(created_at=_now()))
        store.remember(key, ref)
    return ref


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
