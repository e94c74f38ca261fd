"""Helper processes: others that make shards of the same work beside the process that began it.

Decides how they are started and ended: `python -m edgewright.synth.help FOLDER PID`, which reads what the work is from
`job.json` there, so that nothing is pickled and another machine that sees the folder and the store can help too. They
end when there is nothing left, when the folder tells them to stop, and when the process that started them is gone; then
they finish the shard in work first, if that takes no longer than FINISH_WITHIN_S. So an interruption loses at most the
shard of the process that is interrupted. Refuses to help with inputs that are not those of the job. A helper that fails
loses nothing: its shards are made by the others.

    with Helpers(folder, job, at_most=3) as helpers:
        helpers.start(2)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgewright.artifacts import Artifact, ArtifactRef, canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.files import write_atomically
from edgewright.processes import end_children
from edgewright.recipe.synth import GenerateConfig

FINISH_WITHIN_S = 10.0
"""Time that a helper has for the shard in work once it is not wanted any more."""
_JOB = "job.json"
_STOP = "stop"
_END_WITHIN_S = 5.0


@dataclass(frozen=True)
class Job:
    """What is to be made.

    Attributes:
        rows_sha256: of the dataset's row ids in order: a part of a dataset is not the dataset.
        scratch: where the store stages copies on this machine.
    """

    generator: dict[str, str]
    dataset: dict[str, str]
    rows_sha256: str
    config: dict[str, Any]
    seed: int
    scratch: str

    @property
    def name(self) -> str:
        """The same for equal work, wherever its inputs lie."""
        inputs = [self.generator["sha256"], self.dataset["sha256"], self.rows_sha256]
        return "shards-" + sha256_bytes(canonical_json([inputs, self.config, self.seed]))[:16]

    @property
    def refs(self) -> tuple[ArtifactRef, ArtifactRef]:
        return ArtifactRef.from_json(self.generator), ArtifactRef.from_json(self.dataset)


def describe_job(generator: Artifact, dataset: Dataset, config: GenerateConfig, *, seed: int) -> Job:
    return Job(
        generator=generator.ref.to_json(),
        dataset=dataset.ref.to_json(),
        rows_sha256=sha256_bytes(canonical_json([row.id for row in dataset.rows])),
        config=config.model_dump(mode="json"),
        seed=seed,
        scratch=str(generator.store.scratch),
    )


def read_job(folder: Path) -> Job:
    return Job(**json.loads((folder / _JOB).read_bytes()))


def is_told_to_stop(folder: Path) -> bool:
    return (folder / _STOP).exists()


class Helpers:
    """The helpers of one work; none is left when the block ends, however it ends."""

    def __init__(self, folder: Path, job: Job, *, at_most: int) -> None:
        self._folder = folder
        self._job = job
        self._at_most = at_most
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def started(self) -> int:
        return len(self._running)

    @property
    def failed(self) -> int:
        """How many of them ended of themselves before the work was done, and not well; their logs say why."""
        return sum(process.poll() not in (None, 0) for process in self._running)

    def start(self, wanted: int) -> None:
        """Have `wanted` of them, or as many as are allowed. Those that once were started stay."""
        missing = min(wanted, self._at_most) - self.started
        if missing > 0:
            (self._folder / _STOP).unlink(missing_ok=True)  # of a run that was killed while it waited
            write_atomically(self._folder / _JOB, canonical_json(asdict(self._job)))
        for _ in range(missing):
            with (self._folder / f"helper-{self.started}.log").open("wb") as log:
                command = [sys.executable, "-m", "edgewright.synth.help", str(self._folder), str(os.getpid())]
                self._running.append(
                    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0)
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self._running:
                self._let_finish()
        finally:
            end_children(self._running, within_s=_END_WITHIN_S)

    def _let_finish(self) -> None:
        """Have them finish the shards in work, for some seconds at most."""
        stop = self._folder / _STOP
        stop.touch()
        try:
            deadline = time.monotonic() + FINISH_WITHIN_S
            for process in self._running:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            stop.unlink(missing_ok=True)
