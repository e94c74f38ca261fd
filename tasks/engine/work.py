"""`Work`: what a running stage may use.

Decides what the manifest of an artifact says of its making. Refuses nothing; nothing else of the run reaches a stage.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.artifacts import Artifact, ArtifactRef, Content, Record
from edgewright.metrics import metrics_of
from edgewright.progress import OnProgress
from edgewright.recipe.section import Section
from tasks.engine.fingerprint import Fingerprint
from tasks.engine.prefect_log import first_numbers, run_log
from tasks.engine.ran import device_here
from tasks.engine.session import Session
from tasks.engine.shown import StageProgress
from tasks.engine.tracking import Child, titled

if TYPE_CHECKING:
    from edgewright.detect.lesson import EpochReport


@dataclass(frozen=True)
class Work:
    """What a running stage may use. Nothing else reaches it.

    Attributes:
        code: what made it, and the libraries that its config calls in.
        scratch: a folder that belongs to this work alone and survives a crash: checkpoints live here.
        child: the stage's MLflow run.
        tier: of devices, whose detector it makes; "" for `full`, and for what all tiers share.
    """

    session: Session
    stage: str
    code: Fingerprint
    config: Section
    inputs: Mapping[str, str]
    scratch: Path
    child: Child
    tier: str = ""
    started: float = field(default_factory=time.monotonic)

    @property
    def seed(self) -> int:
        return self.session.link.seed

    @property
    def threads(self) -> int:
        return self.session.settings.threads

    @property
    def project(self) -> str:
        return self.session.link.project

    @property
    def title(self) -> str:
        """What the stage is called in its run."""
        return titled(self.stage, self.tier)

    def open(self, ref: ArtifactRef) -> Artifact:
        return self.session.store.open(ref)

    @property
    def on_progress(self) -> OnProgress:
        def report(done: int, total: int, what: str) -> None:
            self.session.observer.stage_progress(self.title, done, total, what)
            shown.report(done, total, what)

        shown = StageProgress(self.stage)
        return report

    @property
    def on_epoch(self) -> Callable[[EpochReport], None]:
        """Of a detector's training: its progress, and what the epoch gave."""
        on_progress = self.on_progress

        def report(epoch: EpochReport) -> None:
            found = "" if epoch.map50 is None else f", val mAP50 {epoch.map50:.3f}"
            on_progress(epoch.epoch, epoch.epochs, f"epoch {epoch.epoch} of {epoch.epochs}{found}")
            self.child.log(metrics_of(epoch), step=epoch.epoch)

        return report

    def warn(self, sentences: Sequence[str]) -> None:
        """Into the run's log, and to whoever watches."""
        for sentence in sentences:
            run_log().warning("%s: %s", self.title, sentence)
        if sentences:
            self.session.observer.stage_told(self.title, sentences)

    def publish(
        self,
        directory: Path,
        *,
        kind: str,
        metrics: Mapping[str, float] | None = None,
        facts: Mapping[str, Any] | None = None,
        spdx: str = "",
    ) -> ArtifactRef:
        """Publish what stands in `directory` and log its metrics to the stage's MLflow run.

        Args:
            spdx: the license of the data or weights, an SPDX expression, where it is known.
        """
        content = Content(
            kind=kind,
            stage=self.stage,
            config=self.config.model_dump(mode="json"),
            inputs=dict(self.inputs),
            seed=self.seed,
            licence=spdx,
        )
        record = Record(
            metrics=dict(metrics or {}),
            facts=dict(facts or {}),
            created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            seconds=round(time.monotonic() - self.started, 3),
            host=socket.gethostname(),
            versions=dict(self.code.libraries),
            code=self.code.code,
            device=device_here(),
        )
        ref = self.session.store.publish(directory, content, record)
        if metrics:
            self.child.log(metrics)
            run_log().info("%s: %s", self.stage, first_numbers(metrics))
        self.child.tag({"artifact.uri": ref.uri, "artifact.digest": ref.sha256})
        return ref
