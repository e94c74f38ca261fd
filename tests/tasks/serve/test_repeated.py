from __future__ import annotations

import threading
import time

from tasks.serve.repeated import repeated


def test_it_goes_on_until_the_block_ends() -> None:
    often, times = threading.Event(), []

    def work() -> None:
        times.append(time.monotonic())
        if len(times) == 3:
            often.set()

    with repeated(work, every_s=0.01, say=print):
        assert often.wait(10)
    done = len(times)
    time.sleep(0.05)
    assert len(times) == done


def test_a_block_that_ends_sooner_does_nothing() -> None:
    times: list[int] = []
    with repeated(lambda: times.append(1), every_s=60.0, say=print):
        pass
    assert times == []


def test_what_goes_wrong_is_said_and_ends_nothing() -> None:
    often, said = threading.Event(), []

    def work() -> None:
        if len(said) >= 2:
            often.set()
        raise ValueError("no database")

    with repeated(work, every_s=0.01, say=said.append):
        assert often.wait(10)
    assert said[0] == "Failed    ValueError: no database; tried again in 0.01 s"
