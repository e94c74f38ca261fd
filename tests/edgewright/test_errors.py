"""The error tree: exit codes and sentences."""

from __future__ import annotations

import re
import urllib.error
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.SourceError, 2),
        (errors.RecipeError, 2),
        (errors.MissingExtra, 2),
        (errors.ArtifactMissing, 2),
        (errors.GateEnded, 3),
        (errors.WaitingForPerson, 4),
        (errors.StoreUnavailable, 1),
        (errors.UpdateRefused, 1),
    ],
)
def test_exit_codes_say_who_must_act(kind: type[errors.EdgewrightError], code: int) -> None:
    assert kind("x").exit_code == code


def test_a_message_says_what_expected_got_where_and_next() -> None:
    error = errors.SourceError("no images", expected=">= 10", got=0, where="/in", next_step="check --source")
    assert str(error) == "no images (expected >= 10, got 0, in /in). Next: check --source"
    assert (error.kind, error.next_step) == ("SourceError", "check --source")


def test_the_docstring_shows_every_error() -> None:
    tree = errors.__doc__ or ""
    kinds = [
        value.__name__ for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert [name for name in kinds if name not in tree] == []


class Mute:
    """Without a `__repr__` of its own."""


AWKWARD: tuple[object, ...] = (
    "",
    " \n ",
    Mute(),
    [Mute()],
    Mute().__init__,
    lambda: None,
    ValueError(),
    TimeoutError(),
    KeyError(Mute()),
    RuntimeError(f"HTTPConnection({Mute()}): refused"),
    urllib.error.URLError(TimeoutError()),
    errors.StageFailed(""),
    ExceptionGroup("several", [ValueError(Mute())]),
    ValueError("two\nlines"),
)
_UNSAYABLE = re.compile(r"\( *\)$|\(\)|\((?:expected|got|in) *\)|(?:got|in|expected) *[,)]|: *$|0x[0-9a-f]{4,}|\n")


def is_a_sentence(text: str) -> bool:
    return bool(text.strip()) and not _UNSAYABLE.search(text)


@pytest.mark.parametrize("value", AWKWARD)
def test_no_message_has_an_empty_place_or_an_address(value: object) -> None:
    places = ({"got": value}, {"where": value}, {"expected": value, "got": value, "where": value}, {})
    for what, arguments in product(("it broke", *AWKWARD), places):
        error = errors.StageFailed(what, **arguments, next_step="go on")  # type: ignore[arg-type]
        assert is_a_sentence(str(error).removesuffix(". Next: go on")), str(error)
        assert is_a_sentence(error.what)
        assert is_a_sentence(str(errors.StoreUnavailable("outer", got=error)))


@pytest.mark.parametrize("raised", [value for value in AWKWARD if isinstance(value, BaseException)])
def test_any_exception_is_described_in_a_sentence(raised: BaseException) -> None:
    described = errors.describe(raised)
    assert is_a_sentence(str(described).removesuffix(". Next: the traceback stands above this line"))
    assert is_a_sentence(described.to_json()["message"] or "")


@given(st.text())
def test_words_are_kept(text: str) -> None:
    """Law: nothing of a text is lost but line ends, space around them, and addresses."""
    kept = errors.sayable(text)
    assert kept == "nothing" or kept.split() == re.sub(r" at 0x[0-9a-fA-F]+", "", text).split()
