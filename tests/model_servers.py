"""A server of a larger model on this machine, over real TLS: one that answers rightly, and whatever else one may do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from edgewright.device.enroll import enroll
from edgewright.device.files import Files
from edgewright.device.home import Home
from edgewright.fleet.authority import server_files
from edgewright.fleet.listener import listening
from edgewright.fleet.model_server import model_server
from edgewright.fleet.register import admitted
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.session import ModelSpec, Predictor
from tests.cells import SPEC
from tests.collectors import RunningCollector

NAME = "belt:0123456789ab"


@dataclass
class Seen:
    """A predictor that keeps what it was shown."""

    predict: Predictor
    pictures: list[Image] = field(default_factory=list)

    def __call__(self, image: Image) -> Boxes:
        self.pictures.append(image.copy())
        return self.predict(image)


def application_of(
    collector: RunningCollector, predict: Predictor, *, spec: ModelSpec = SPEC, **changes: Any
) -> Starlette:
    """As `edgewright serve-model` makes it, by the register of the collector."""

    def admit(peer: dict[str, str]) -> None:
        with collector.engine.begin() as connection:
            admitted(connection, **peer)

    given = {"name": NAME, "classes": spec.classes, "admit": admit, **changes}
    return model_server(predict, **given)


@contextmanager
def listening_as_model(collector_folder: Path, application: Any) -> Iterator[str]:
    """Its address."""
    opens = server_files(collector_folder, {"127.0.0.1"}, now=datetime.now(UTC), of="model-belt")
    with listening(
        application, collector_folder, key_opened_by=opens, host="127.0.0.1", port=0, of="model-belt"
    ) as line:
        yield f"https://127.0.0.1:{line.port}"


def enrolled(collector: RunningCollector, folder: Path, name: str = "line-1") -> Home:
    return enroll(folder, collector.token(device=name), files=Files(), device_id=name)
