"""What a person can type: every command, with its words, defaults and help."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import edgewright
from edgewright.cli import frame, main
from tests.goldens import Golden


def described(command: Any, words: str) -> Iterator[str]:
    """A line a command and a word of it; the class of a command is click's own, or the copy that newer typers carry."""
    yield f"{words}: {' '.join((command.help or '').split())}"
    for word in command.params:
        names = " ".join([*word.opts, *word.secondary_opts])
        default = ", required" if word.required else f" = {word.default}" if word.default else ""
        yield f"    {names}{default}: {getattr(word, 'help', None) or '-'}"
    for name, part in sorted(getattr(command, "commands", {}).items()):
        yield from described(part, f"{words} {name}")


def test_the_commands_and_their_words(golden: Golden) -> None:
    lines = described(typer.main.get_command(frame._application()), "edgewright")
    golden("commands.txt", "".join(f"{line}\n" for line in lines))


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@pytest.mark.parametrize("words", [["--version"], ["device", "--version"]])
def test_the_version(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(words, capsys)
    assert (code, out.split()[-1]) == (0, edgewright.__version__)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["rnus"], "'runs'"),  # a command
        (["runs", "--jsn"], "--json"),  # an option
        (["export", "x", "--format", "yol"], "did you mean 'yolo'?"),  # an option's value
        (["decide", "x", "real_onyl", "--why", "w"], "did you mean 'real_only'?"),  # an argument's
        (["release", "renw"], "'renew'"),  # a command of a group
    ],
)
def test_a_misspelt_word_meets_the_one_that_was_meant(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(words, capsys)
    assert (code, meant in err) == (2, True)


def test_the_devices_of_the_home_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path))
    code, _, err = said(["device", "status"], capsys)
    assert (code, f"not a device's folder (in {tmp_path}/devices)" in err) == (2, True)
    for name in ("line-1", "line-2"):
        config = {"device_id": name, "server_url": "http://127.0.0.1:9", "channel": "stable"}
        (tmp_path / f"devices/{name}").mkdir(parents=True)
        (tmp_path / f"devices/{name}/device.json").write_text(json.dumps(config))
    code, out, _ = said(["device", "status", "--json"], capsys)
    assert (code, [one["device_id"] for one in json.loads(out)]) == (0, ["line-1", "line-2"])
    monkeypatch.setenv("EDGEWRIGHT_ROUTER", "nonsense")
    code, _, err = said(["device", "status"], capsys)
    assert (code, err.startswith("edgewright: unknown router")) == (2, True)
