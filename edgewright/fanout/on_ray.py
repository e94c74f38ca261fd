"""Hands on the nodes of a Ray cluster: one that runs already, or one that is begun here and ended with the work.

Decides what travels: a program's name, the job, pieces and answers, all of them bytes, through Ray's object store; no
disk is presumed to be shared. A hand is an actor of one CPU that Ray places where there is room; a node that is lost
takes its hands along, and others are asked for. Refuses a node whose edgewright, Python or libraries are not this
process's own, because it would make something else, and an address at which nobody answers.

    with RayHands("10.0.0.1:6379", threads=4) as hands:
        hands.hire("edgewright.synth.worker", job)
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from edgewright.errors import InputError, MissingExtra
from edgewright.fanout.alike import difference, likeness
from edgewright.fanout.hands import HandLost, Opened, read_answer

LOCAL = "local"
_WHERE = "EDGEWRIGHT_RAY_ADDRESS"
_ANSWER_WITHIN_S = 4.0
_OBJECT_STORE_BYTES = 80_000_000
"""Of a cluster that is begun here: pieces are small, and Ray spills what does not fit."""


class RayHands:
    """Connects when the first hand is hired, or counted.

    Args:
        address: `local`, or HOST:PORT of a cluster of which this machine is a node.
        threads: CPUs of a local one.

    Raises:
        MissingExtra: Ray is not installed.
    """

    here: ClassVar[bool] = False

    def __init__(self, address: str, *, threads: int) -> None:
        if not find_spec("ray"):
            raise MissingExtra(
                "fanning out over Ray needs Ray",
                where="EDGEWRIGHT_FANOUT",
                next_step="pip install 'edgewright[ray]', or EDGEWRIGHT_FANOUT=processes",
            )
        self._address, self._threads = address, threads
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._begun = False

    def beside(self, busy: int) -> int:
        """Raises InputError where no cluster answers."""
        cpus = int(self._ray.cluster_resources().get("CPU", 0))
        return max(0, cpus - busy) if self._address == LOCAL else cpus

    def hire(self, program: str, job: bytes, *, log: Path | None = None) -> RayHand:  # noqa: ARG002
        """What it writes stands in Ray's own logs, whatever `log` says. Raises InputError where no cluster answers."""
        return RayHand(self._ray, program, job)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._begun:
            self._ray.shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    @cached_property
    def _ray(self) -> Any:
        import ray  # an extra, and half a second

        logging.getLogger("ray").setLevel(logging.ERROR)  # it warns of what a thread may not do, and of lost nodes
        with self._lock:  # several threads may ask for their first hand at once
            if ray.is_initialized():  # whoever uses edgewright as a library has a cluster of their own
                return ray
            try:
                with _sigterm_kept():
                    ray.init(**(self._local() if self._address == LOCAL else self._existing()), **_QUIET)
            except (ray.exceptions.RayError, RuntimeError, OSError, ValueError) as error:
                raise _no_cluster(self._address, str(error).partition("\n")[0]) from error
            self._begun = True
        return ray

    def _local(self) -> dict[str, Any]:
        self._folder = Path(tempfile.mkdtemp(prefix="edgewright-ray-"))
        return {
            "address": LOCAL,  # else Ray follows a RAY_ADDRESS
            "num_cpus": self._threads,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_temp_dir": str(self._folder),
        }

    def _existing(self) -> dict[str, Any]:
        """Asked for first, because Ray waits a minute for an address at which nobody is."""
        host, _, port = self._address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_WITHIN_S).close()
        except OSError as error:
            raise _no_cluster(self._address, error.strerror or error) from error
        return {"address": self._address}


class RayHand:
    """One actor; asked by one thread at a time."""

    def __init__(self, ray: Any, program: str, job: bytes) -> None:
        self._ray, self._program, self._job = ray, program, job
        self._actor = ray.remote(_Remote).options(**_PLACE).remote()

    def begin(self) -> None:
        """Waits as long as the cluster has no room. Raises InputError for a node with other code or libraries."""
        there = json.loads(self._said(self._actor.likeness.remote()))
        unlike = difference(likeness(), there["likeness"])
        if unlike:
            raise _unlike(unlike, there["node"])
        read_answer(self._said(self._actor.begin.remote(self._program, self._job)))

    def ask(self, piece: bytes) -> bytes:
        return read_answer(self._said(self._actor.ask.remote(piece)))

    def end(self) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(self._actor)

    def _said(self, promised: Any) -> bytes:
        try:
            return bytes(self._ray.get(promised))
        except self._ray.exceptions.RayError as error:
            said = str(error)
            if _MISSING in said:
                raise _unlike("edgewright: is not installed there, or is an older one", "") from error
            raise HandLost(
                "a Ray node's hand ended", got=said.strip().rpartition("\n")[2].partition(". ")[0]
            ) from error


class _Remote(Opened):
    """A hand where it is."""

    def likeness(self) -> bytes:
        return json.dumps({"likeness": dict(likeness()), "node": platform.node()}).encode()


_QUIET = {"include_dashboard": False, "configure_logging": False, "log_to_driver": False}
_PLACE = {"num_cpus": 1, "max_restarts": 0, "max_task_retries": 0, "scheduling_strategy": "SPREAD"}
"""Never again by Ray's own hand: a lost hand is replaced by who asked, which knows what it was asked for."""
_MISSING = "No module named 'edgewright"


@contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Ray takes it for itself; it belongs to who runs the stage, who is told by it to cancel."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _no_cluster(address: str, got: object) -> InputError:
    own = address == LOCAL
    return InputError(
        "no Ray can be begun here" if own else "no Ray cluster answers of which this machine is a node",
        got=got,
        where=f"{_WHERE}={address}",
        next_step="EDGEWRIGHT_FANOUT=processes needs none"
        if own
        else f"`ray start --address={address} --num-cpus=0` on this machine makes it a node, with the cluster's Python "
        "and Ray; or EDGEWRIGHT_FANOUT=processes",
    )


def _unlike(what: str, node: str) -> InputError:
    return InputError(
        "a Ray node would make something else than this process",
        got=what,
        where=node or None,
        next_step="install the same edgewright, Python and libraries on every node (constraints.txt)",
    )
