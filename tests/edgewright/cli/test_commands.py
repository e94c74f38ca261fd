"""A dry run prints what `run` takes back."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from edgewright.cli import main
from edgewright.recipe import resolve
from edgewright.settings import read_settings
from flows.lifecycle import STAGES, stages_of
from tasks.compress import compress


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home")})
    monkeypatch.setattr("edgewright.cli.commands.home_settings", lambda: settings)


def dry_run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["run", *words, "--dry-run"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_a_dry_run_is_a_recipe_with_the_same_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "my photos\nof nuts"  # a name that breaks a line is no recipe's end
    source.mkdir()
    (source / "a.png").write_bytes(b"x")  # it is looked for before anything is planned, and not yet opened
    sets = ["--set", "ingest.classes=[nut, 'on']", "--set", "train_detector.learning_rate=1e-5"]
    first = dry_run(["laptop", "--source", str(source), *sets, "--until", "label"], capsys)
    file = tmp_path / "mine.yaml"
    file.write_text(first)
    assert resolve(str(file)).ingest.classes == ("nut", "on")
    words = shlex.split(first[first.index("edgewright run FILE") :].replace("\n# ", "\n"))
    assert words[2:] == ["FILE", "--source", str(source), "--project", words[6], "--until", "label"]
    again = dry_run([str(file), *words[3:]], capsys)
    assert again == first
    assert re.search(r"^# plan [0-9a-f]{12} of project ", again, re.MULTILINE)
    planned = stages_of(resolve(str(file)))
    assert [stage for stage in STAGES if stage not in planned] == [compress]
    assert all(f"#   {stage.name} " in again for stage in planned)
    assert "#   compress " not in again


def test_a_stage_that_was_probably_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "demo", "--until", "labell", "--dry-run"])
    assert (ended.value.code, capsys.readouterr().err.strip().endswith("did you mean 'label'?")) == (2, True)
