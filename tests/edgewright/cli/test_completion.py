"""What the shell offers, asked for as the shell asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.cli import completion, main
from edgewright.recipe import PRESET_NAMES
from flows.lifecycle import STAGES
from tasks.engine.journal import Journal


def offered(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The shell's question in its variables; the last word is the one that is typed."""
    monkeypatch.setenv("_EDGEWRIGHT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    with pytest.raises(SystemExit):
        main([])
    return capsys.readouterr().out.split()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def test_presets_and_recipe_files(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mine.yaml", "notes.txt", "recipes/more.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert offered("edgewright run ", monkeypatch, capsys) == [*PRESET_NAMES, "mine.yaml", "recipes/"]
    assert offered("edgewright run recipes/", monkeypatch, capsys) == ["recipes/more.yml"]
    assert offered("edgewright run demo --until train_d", monkeypatch, capsys) == ["train_detector"]
    assert offered("edgewright run demo --set quantize.iou", monkeypatch, capsys) == ["quantize.iou_threshold="]
    assert offered("edgewright rep", monkeypatch, capsys) == ["report"]


def test_runs_newest_first(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert offered("edgewright report ", monkeypatch, capsys) == []
    run = Journal.begin(home / "runs", project="p", source="s", recipe={}, plan="1").run_id
    assert offered("edgewright report ", monkeypatch, capsys) == ["latest", run]
    monkeypatch.setenv("EDGEWRIGHT_ROUTER", "nonsense")  # settings that cannot be read offer nothing, and raise nothing
    assert completion.run_ids("") == completion.projects("") == []


def test_the_stages_are_the_life_cycles() -> None:
    assert completion.stages("") == [stage.name for stage in STAGES]
