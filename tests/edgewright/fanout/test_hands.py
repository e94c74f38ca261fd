"""A hand's other end: what is made and what is raised, as bytes."""

from __future__ import annotations

import json

import pytest

from edgewright.errors import EdgewrightError, InputError, StageFailed
from edgewright.fanout.hands import Opened, read_answer


def test_what_is_made_comes_as_it_is(program: str) -> None:
    opened = Opened()
    assert read_answer(opened.begin(program, b"job ")) == b""
    assert read_answer(opened.ask(b"piece")).endswith(b":job piece")


def test_what_is_raised_of_ours_is_raised_again(program: str) -> None:
    with pytest.raises(InputError, match="not this job"):
        read_answer(Opened().begin(program, b"refuse"))


def test_what_is_not_ours_is_not_caught(program: str) -> None:
    with pytest.raises(RuntimeError, match="nobody expected this"):
        Opened().begin(program, b"break")


def test_nobody_answers_before_a_job_is_open() -> None:
    with pytest.raises(EdgewrightError, match="before it had opened a job"):
        read_answer(Opened().ask(b"piece"))


def test_an_error_that_is_not_known_here_is_a_failure() -> None:
    with pytest.raises(StageFailed, match="HandLost: gone"):
        read_answer(b"\0" + json.dumps(["HandLost", "gone"]).encode())
