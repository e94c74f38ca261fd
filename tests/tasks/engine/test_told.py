"""What a stage says of its result reaches whoever watches and MLflow, outside of Prefect too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgewright.artifacts import LocalStore
from tasks.engine.session import Session, Silent
from tasks.engine.told import Told, tell


class Listening(Silent):
    def __init__(self) -> None:
        self.heard: list[tuple[str, list[str]]] = []

    def stage_told(self, name: str, lines: Sequence[str]) -> None:
        self.heard.append((name, list(lines)))


def test_who_hears_it(tmp_path: Path, open_session: Callable[[LocalStore], Session]) -> None:
    watching = Listening()
    session = open_session(LocalStore(tmp_path / "store")).watched_by(watching)
    tell(Told({}, ["a", "b"], "| a |", {"ingest.labels": "yolo"}), stage="ingest", session=session)
    assert watching.heard == [("ingest", ["a", "b"])]
    tags = session.tracker.client.get_run(session.link.mlflow_parent).data.tags
    assert tags["ingest.labels"] == "yolo"
