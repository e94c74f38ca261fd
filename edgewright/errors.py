"""The error tree, split by who must act.

    EdgewrightError
    ├── InputError            the user: the data or the command is wrong                        exit 2
    │   ├── RecipeError           a recipe field is unknown, of the wrong type or out of range
    │   ├── SourceError           the image source cannot be read or holds nothing usable
    │   ├── ArtifactMissing       an earlier stage's result is needed and not in the store
    │   └── MissingExtra          an optional package is not installed
    ├── GateEnded             a gate refused and the recipe says that ends the run               exit 3
    ├── WaitingForPerson      a gate asks a person; `edgewright decide` answers                  exit 4
    ├── ArtifactCorrupt       bytes on disk differ from their digest                            exit 1
    ├── StoreUnavailable      store, Prefect or MLflow: full, refused, silent, something else    exit 1
    ├── HomeBusy              another live run holds this home                                  exit 1
    ├── StageFailed           a stage raised something that is none of the above                exit 1
    ├── UpdateRefused         the device refused a release: signature, version, self-test        exit 1
    └── DeviceUnreachable     the device did not report in time                                 exit 1

Every message says what happened, what was expected, what was got, where, and what to do next:

>>> print(InputError("no images found", expected="at least 10", got="0", where="/photos", next_step="check --source"))
no images found (expected at least 10, got 0, in /photos). Next: check --source

Refuses to leave a place in it empty, and to print where in memory an object lies:

>>> print(InputError("no answer", got=TimeoutError(), where=object()))
no answer (got TimeoutError, in object)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_OBJECT = re.compile(r"<(?:\w+\.)*(\w+) object at 0x[0-9a-fA-F]+>")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


class EdgewrightError(Exception):
    """What happened, in one sentence that a person can act on."""

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        got: object = None,
        where: object = None,
        next_step: str | None = None,
    ) -> None:
        self.what = sayable(what)
        self.next_step = next_step
        parts = [
            f"{word} {sayable(value)}"
            for word, value in (("expected", expected), ("got", got), ("in", where))
            if value is not None
        ]
        details = f" ({', '.join(parts)})" if parts else ""
        advice = f". Next: {next_step}" if next_step else ""
        super().__init__(f"{self.what}{details}{advice}")

    @property
    def kind(self) -> str:
        """The class name, which is what `--json` prints as `error.kind`."""
        return type(self).__name__

    def to_json(self) -> dict[str, str | None]:
        """`{kind, message, next_step}`, as `--json` prints it."""
        return {"kind": self.kind, "message": str(self), "next_step": self.next_step}


class InputError(EdgewrightError):
    exit_code = 2


class RecipeError(InputError):
    pass


class SourceError(InputError):
    pass


class ArtifactMissing(InputError):
    pass


class MissingExtra(InputError):
    pass


class GateEnded(EdgewrightError):
    exit_code = 3


class WaitingForPerson(EdgewrightError):
    exit_code = 4


class ArtifactCorrupt(EdgewrightError):
    pass


class StoreUnavailable(EdgewrightError):
    pass


class HomeBusy(EdgewrightError):
    pass


class StageFailed(EdgewrightError):
    pass


class UpdateRefused(EdgewrightError):
    pass


class DeviceUnreachable(EdgewrightError):
    pass


def meant(word: str, known: Iterable[str]) -> str:
    """The known word that somebody who typed `word` probably meant, as a question; empty where none is near.

    >>> meant("epoch", ["epochs", "batch"]), meant("x", ["epochs"])
    ("did you mean 'epochs'?", '')
    """
    near = get_close_matches(word, sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def describe(raised: BaseException) -> EdgewrightError:
    """Any exception as one of ours: an interruption and a stranger become StageFailed."""
    if isinstance(raised, EdgewrightError):
        return raised
    if isinstance(raised, KeyboardInterrupt):
        return StageFailed("interrupted", next_step="the same command continues the run")
    name, said = type(raised).__name__, sayable(raised)
    what = name if said == name else f"{name}: {said}"
    return StageFailed(what, next_step="the traceback stands above this line")


def as_it_was(kind: str, message: str) -> EdgewrightError:
    """An error of ours that came from elsewhere as its class's name and its text; a stranger becomes StageFailed.

    >>> as_it_was("InputError", "no images found (got 0). Next: check --source")
    InputError('no images found (got 0). Next: check --source')
    >>> as_it_was("ValueError", "CUDA out of memory").kind
    'StageFailed'
    """
    known = globals().get(kind)
    if isinstance(known, type) and issubclass(known, EdgewrightError):
        what, _, advice = message.partition(". Next: ")
        return known(what, next_step=advice or None)
    return StageFailed(f"{kind}: {message}" if message else kind, next_step="the traceback is in the flow run's log")


def sayable(value: object) -> str:
    """A value as a part of a sentence: on one line, never empty, an object without words of its own by its type."""
    text = " ".join(line.strip() for line in str(value).splitlines() if line.strip())
    text = _ADDRESS.sub("", _OBJECT.sub(r"\1", text))
    return text or (type(value).__name__ if isinstance(value, BaseException) else "nothing")
