"""A golden that differs is shown with the command that updates it, and none is left over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.goldens import Golden

TESTS = Path(__file__).parent


@pytest.mark.parametrize(
    ("kept", "made", "shown"),
    [
        (b"a\nb\n", "a\nc\n", ["-b", "+c"]),  # text, line by line
        (b'{\n "a": 1\n}\n', {"a": 2}, ['- "a": 1', '+ "a": 2']),  # any other value, as JSON
        (b"\xff\x00", b"\xff\x01\x02", ["2 bytes are kept, 3 were made", "from byte 1 on"]),
        (b"\xff\x00", b"\xff\x00\x02", ["from byte 2 on"]),  # one is the other's beginning
        (None, "a", ["+a"]),  # there is none yet
    ],
)
def test_what_differs_is_shown_and_taken_over_when_asked(
    tmp_path: Path, kept: bytes | None, made: object, shown: list[str]
) -> None:
    folder = tmp_path / "goldens"
    if kept is not None:
        folder.mkdir()
        (folder / "one").write_bytes(kept)
    with pytest.raises(pytest.fail.Exception) as failed:
        Golden(folder, "tests/test_x.py::test_y", update=False)("one", made)
    for words in [*shown, "Next: python -m pytest 'tests/test_x.py::test_y' --update-goldens"]:
        assert words in str(failed.value)
    Golden(folder, "", update=True)("one", made)
    Golden(folder, "", update=False)("one", made)


def test_no_golden_is_left_over() -> None:
    """Each is named by a test beside it."""
    left = [
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("goldens/*")
        if not any(f'"{path.name}"' in test.read_text() for test in path.parents[1].glob("test_*.py"))
    ]
    assert left == []
