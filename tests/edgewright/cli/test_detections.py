"""`edgewright detect`: a line a picture, boxes where they are wanted, and past what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgewright.cli import main
from edgewright.settings import read_settings

Detect = Callable[..., tuple[int, str, str]]


@pytest.fixture
def detect(
    make_bundle: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Detect:
    """`detect(words…)` => exit code, stdout, stderr of the cell detector's bundle."""
    home = read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")})
    monkeypatch.setattr("edgewright.cli.commands.home_settings", lambda: home)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["detect", str(make_bundle()), *words])
        said = capsys.readouterr()
        return int(str(ended.value.code)), said.out, said.err

    return run


def test_a_folder_with_one_bad_picture(detect: Detect, feed: Path, tmp_path: Path) -> None:
    code, out, err = detect(str(feed), "--save", str(tmp_path / "drawn"))
    assert code == 0
    assert out.splitlines()[0] == f"{feed}/000.png: 1 green, 1 red -> {tmp_path}/drawn/00000-000.png"
    assert len(out.splitlines()) == 6
    assert f"edgewright: {feed}/003-broken.png is passed over: not a picture" in err
    assert "edgewright: 1 of 7 pictures could not be read" in err
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert len(drawn) == 6
    before = np.asarray(Image.open(feed / "000.png"))
    assert np.asarray(Image.open(drawn[0])).shape == before.shape
    assert (np.asarray(Image.open(drawn[0])) != before).any()


def test_a_json_object_a_line(detect: Detect, feed: Path) -> None:
    code, out, _ = detect(f"{feed}/00*.png", "none.png", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert (code, len(lines)) == (0, 8)
    assert [line["image"] for line in lines if "error" in line] == [f"{feed}/003-broken.png", "none.png"]
    first = lines[0]
    assert sorted(first["classes"]) == ["green", "red"]
    assert (len(first["xyxy"]), len(first["scores"]), first["drawn"]) == (2, 2, None)


def test_nothing_readable_is_an_error(detect: Detect, feed: Path) -> None:
    code, out, err = detect(str(feed / "003-broken.png"), "none.png", "--json")
    last = json.loads(out.splitlines()[-1])
    assert (code, last["error"]["kind"]) == (2, "InputError")
    assert "no picture could be read (got 2 unreadable" in err


def test_a_score_leaves_out_what_is_below_it(detect: Detect, feed: Path) -> None:
    _, out, _ = detect(str(feed / "000.png"), "--score", "0.99")
    assert out == f"{feed}/000.png: nothing\n"
