"""The error tree: exit codes and sentences."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (None, "x"),
        ("", "x"),  # no empty parentheses, no `got` without a value
        (0, "x (got 0)"),
        (TimeoutError(), "x (got TimeoutError)"),  # an exception without a text
        (
            OSError("cannot identify image file <_io.BytesIO object at 0x7f3a>"),
            "x (got cannot identify image file a BytesIO)",
        ),
    ],
)
def test_no_empty_parentheses_and_no_addresses(got: object, said: str) -> None:
    assert str(errors.InputError("x", got=got)) == said


def test_a_stranger_without_a_text_is_named_once() -> None:
    assert str(errors.describe(MemoryError())).startswith("MemoryError. Next: ")
    assert str(errors.describe(ValueError("no"))).startswith("ValueError: no. Next: ")
