"""What a command prints for machines, however it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.cli import main
from edgewright.gates.selftest.self_test import ControlResult, SelfTest
from edgewright.gates.verdict import Outcome, Verdict
from edgewright.settings import read_settings


@pytest.mark.parametrize(("said", "code"), [(Outcome.PASS, 0), (Outcome.REFUSE, 3)])
def test_a_self_test_prints_one_object_with_its_controls_and_its_error(
    said: Outcome, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = Verdict("gate_data", said, (), "because", "admitted")
    report = SelfTest((ControlResult("held-out real", 12, (), (), verdict),), 12, 12, 12, seed=0)
    monkeypatch.setattr("edgewright.experiment.self_test.self_test_of", lambda *_, **__: report)
    # The command's own way to its settings also sets this process's environment, which other tests hand on.
    home = read_settings({"EDGEWRIGHT_HOME": str(tmp_path)})
    monkeypatch.setattr("edgewright.cli.groups.home_settings", lambda: home)
    with pytest.raises(SystemExit) as ended:
        main(["gate", "self-test", "--json"])
    assert ended.value.code == code
    printed = capsys.readouterr()
    told = json.loads(printed.out[printed.out.index("\n{") :])
    assert [one["name"] for one in told["results"]] == ["held-out real"]
    assert (told["passed"], told["error"] is None) == (code == 0, code == 0)
    assert ("edgewright: the gate did not judge" in printed.err) == (code == 3)


def test_a_rehearsal_lists_what_it_would_train(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--seeds", "0,1", "--shift", "new-part", "--arms", "before,hard,full", "--dry-run"]
    with pytest.raises(SystemExit) as ended:
        main(["experiment", "rehearsal", *words])
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6 and lines[0] == "new-part, seed 0: the release that runs"


@pytest.mark.parametrize(
    ("words", "said"), [(["--seeds", "a"], "not seeds"), (["--arms", "hard"], "name before, full too")]
)
def test_a_rehearsal_that_cannot_be_is_refused_before_anything_runs(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["experiment", "rehearsal", "--dry-run", *words])
    assert ended.value.code == 2 and said in capsys.readouterr().err
