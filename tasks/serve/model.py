"""`edgewright serve-model`: a run's float detector for the fleet's devices, until it is ended.

    fleet/model-PROJECT.pem .crt    the server's own certificate, of the authority that the home's devices believe

Decides which network answers (what the run quantized, in float) and whose devices are heard: those of one project that
the home's register admits, asked at each picture. Refuses to serve to other machines under a name that is this one's
alone. Nothing of it is kept by the home: where devices ask stands in their signed policy.

    with model_served(settings, "latest", say=print) as served:
        served.url
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from edgewright.artifacts import Artifact, ArtifactRef, open_store
from edgewright.device.offer import TIERS
from edgewright.errors import ArtifactMissing, StoreUnavailable
from edgewright.fleet.authority import server_files
from edgewright.fleet.listener import listening
from edgewright.fleet.model_server import model_server
from edgewright.fleet.register import Refused, admitted
from edgewright.runtime.session import Predictor, predictor
from edgewright.settings import Settings
from tasks.engine.journal import find_journal
from tasks.engine.tracking import titled
from tasks.serve.collector import LOOK_EVERY_S, Where, refuse_unfindable, register_of
from tasks.serve.repeated import repeated, wait_until_ended

Say = Callable[[str], None]
PORT = 8475
_WARMED = 5


@dataclass(frozen=True)
class Served:
    """Attributes: name: of the network, as devices are told it. project: whose devices are heard."""

    url: str
    name: str
    project: str


def serve_until_ended(settings: Settings, run: str, *, project: str, name: str, host: str, port: int, say: Say) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises as `model_served` does."""
    with model_served(settings, run, project=project, name=name, host=host, port=port, say=say):
        wait_until_ended(say)


@contextmanager
def model_served(
    settings: Settings,
    run: str,
    *,
    say: Say,
    project: str = "",
    name: str = "127.0.0.1",
    host: str = "127.0.0.1",
    port: int = PORT,
) -> Iterator[Served]:
    """Serve in this block.

    Args:
        run: an id or `latest`; of a further tier `latest@basic`.
        project: the run's own unless given. name: by which devices find it.

    Raises:
        ArtifactMissing: the run has no detector. StoreUnavailable: the port is taken, or the register cannot be had.
        InputError: it would listen to other machines under a name that is this one's alone.
    """
    where = Where(name, host, port)
    refuse_unfindable(where)
    detector, of_run = detector_of(settings, run)
    heard, of = project or of_run, f"model-{project or of_run}"
    predict, classes = _float_predictor(detector, threads=settings.threads)
    titled_as = f"{heard}:{detector.ref.sha256[:12]}"
    with register_of(settings) as engine:

        def admit(peer: dict[str, str]) -> None:
            if peer["project"] != heard:
                raise Refused(f"devices of {heard} are heard here")
            try:
                with engine.begin() as connection:
                    admitted(connection, **peer)
            except SQLAlchemyError as error:
                raise StoreUnavailable("the fleet's register cannot be used", got=error) from error

        def certified() -> str:
            secret = settings.keys_opened_by
            return server_files(settings.fleet, where.names, now=datetime.now(UTC), secret=secret, of=of)

        def look() -> None:
            certified()
            line.renew()

        application = model_server(predict, name=titled_as, classes=classes, admit=admit)
        with (
            listening(
                application, settings.fleet, key_opened_by=certified(), host=where.host, port=where.port, of=of
            ) as line,
            repeated(look, every_s=LOOK_EVERY_S, say=say),
        ):
            found = Served(Where(name, host, line.port).url, titled_as, heard)
            say(f"Model    {found.url}: {found.name}, for devices of {found.project}")
            yield found


def detector_of(settings: Settings, run: str) -> tuple[Artifact, str]:
    """What is quantized in the run, and the run's project. Raises ArtifactMissing."""
    run_id, _, tier = run.partition("@")
    suffix = "" if tier == TIERS[0] else tier
    journal = find_journal(settings.runs, run_id, stage=titled("train_detector", suffix))
    refs = journal.state["refs"]
    found = refs.get(titled("compress", suffix)) or refs.get(titled("train_detector", suffix))
    if found is None:
        raise ArtifactMissing("the run has no detector", got=", ".join(refs) or "nothing", where=journal.path)
    store = open_store(settings.store, scratch=settings.scratch / "s3")
    return store.open(ArtifactRef.from_json(found)), str(journal.state["project"])


def _float_predictor(detector: Artifact, *, threads: int) -> tuple[Predictor, tuple[str, ...]]:
    """Warm: the first pictures of a network take longer than any deadline."""
    import numpy as np

    from edgewright.detect.network import load_float_network

    network, spec = load_float_network(detector.path, threads=threads)
    predict = predictor(network, spec)
    for _ in range(_WARMED):
        predict(np.zeros((spec.input_px, spec.input_px, 3), np.uint8))
    return predict, spec.classes
