"""Many devices' transactions, one commit: a disk syncs some hundred times a second, a fleet asks oftener.

Decides which transactions share a commit: all that waited while the one before was synced. Each has a savepoint of its
own, so that one that is refused takes no other with it. An answer is given when its commit is on the disk. Refuses what
comes after it was closed.

    with Writer(engine) as writer:
        writer.submit(lambda connection: accept(connection, member, events, now=now)).result()
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from edgewright.errors import StoreUnavailable

MAX_TOGETHER = 256
Result = TypeVar("Result")
_Work = tuple[Callable[[Connection], Any], "Future[Any]"]


class Writer:
    """The one thread that writes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._waiting.put(None)
        self._thread.join()

    def submit(self, work: Callable[[Connection], Result]) -> Future[Result]:
        """Its result, or what it raised, once that is on the disk. StoreUnavailable where the database fails."""
        if self._closed.is_set():
            raise StoreUnavailable("the fleet's register is closed")
        future: Future[Result] = Future()
        self._waiting.put((work, future))
        return future

    def _write(self) -> None:
        while True:
            batch = self._next()
            works = [work for work in batch if work is not None]
            if works:
                self._commit(works)
            if None in batch:
                return

    def _next(self) -> list[_Work | None]:
        """What waits; at least one, waited for."""
        batch = [self._waiting.get()]
        while len(batch) < MAX_TOGETHER and not self._waiting.empty():
            batch.append(self._waiting.get())
        return batch

    def _commit(self, works: list[_Work]) -> None:
        answers: list[tuple[Future[Any], Any, Exception | None]] = []
        try:
            with self._engine.begin() as connection:
                answers = [(future, *_done(connection, work)) for work, future in works]
        except SQLAlchemyError as error:
            failure = StoreUnavailable("the fleet's register cannot be written", got=error)
            answers = [(future, None, failure) for _, future in works]
        for future, result, raised in answers:
            if future.set_running_or_notify_cancel():
                future.set_exception(raised) if raised else future.set_result(result)


def _done(connection: Connection, work: Callable[[Connection], Any]) -> tuple[Any, Exception | None]:
    """What it came to, rolled back alone where it raised; the database's own failures are everybody's."""
    connection.exec_driver_sql("SAVEPOINT work")  # by name: `begin_nested` costs as much as the work
    try:
        result = work(connection)
    except SQLAlchemyError:
        raise
    except Exception as error:  # noqa: BLE001 - handed to whom it belongs
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT work")
        connection.exec_driver_sql("RELEASE SAVEPOINT work")
        return None, error
    connection.exec_driver_sql("RELEASE SAVEPOINT work")
    return result, None
