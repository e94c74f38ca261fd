from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text

from edgewright.errors import StoreUnavailable
from edgewright.fleet.register import Refused, open_register
from edgewright.fleet.writer import Writer


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_register(f"sqlite:///{tmp_path / 'register.sqlite'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)"))
    yield engine
    engine.dispose()


def put(number: int) -> object:
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})
        if number % 3 == 0:
            raise Refused(f"{number} is refused after it was written")
        return number

    return work


def numbers(engine: Engine) -> list[int]:
    with engine.begin() as connection:
        return [row.n for row in connection.execute(text("SELECT n FROM numbers ORDER BY n"))]


def test_many_share_a_commit_and_one_that_is_refused_takes_no_other_with_it(engine: Engine) -> None:
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)
    first, go = threading.Event(), threading.Event()

    def hold(connection: Connection) -> None:
        first.set()
        assert go.wait(10)

    with Writer(engine) as writer:
        held = writer.submit(hold)
        assert first.wait(10)
        futures: list[Future[int]] = [writer.submit(put(number)) for number in range(1, 31)]  # type: ignore[arg-type]
        go.set()
        held.result(10)
        for number, future in enumerate(futures, start=1):
            if number % 3:
                assert future.result(10) == number
            else:
                with pytest.raises(Refused, match=f"{number} is refused"):
                    future.result(10)
    assert len(commits) == 2
    assert numbers(engine) == [number for number in range(1, 31) if number % 3]


def test_an_answer_comes_after_its_commit(engine: Engine) -> None:
    with Writer(engine) as writer:
        writer.submit(put(1)).result(10)  # type: ignore[arg-type]
        assert numbers(engine) == [1]


def test_a_database_that_fails_is_everybodys_failure_and_the_writer_goes_on(engine: Engine) -> None:
    with Writer(engine) as writer:
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            writer.submit(lambda connection: connection.execute(text("INSERT INTO nowhere VALUES (1)"))).result(10)
        assert writer.submit(put(1)).result(10) == 1  # type: ignore[arg-type]


def test_what_comes_after_the_end_is_refused(engine: Engine) -> None:
    with Writer(engine) as writer:
        waiting = [writer.submit(put(number)) for number in (1, 2)]  # type: ignore[arg-type]
    assert [future.result(0) for future in waiting] == [1, 2]
    with pytest.raises(StoreUnavailable, match="closed"):
        writer.submit(put(4))  # type: ignore[arg-type]
