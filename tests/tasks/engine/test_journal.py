"""The run's record: what is continued, what is not, and one live run a home."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgewright.errors import ArtifactMissing, HomeBusy
from tasks.engine.journal import PUBLIC, Journal, find_journal, home_lock, journals, project_lock


def begin(runs: Path, plan: str = "plan") -> Journal:
    return Journal.begin(runs, project="p", source="s", recipe={}, plan=plan)


def test_the_public_object_has_every_key_of_the_command_line_contract(tmp_path: Path) -> None:
    assert set(begin(tmp_path).public) == set(PUBLIC)


@pytest.mark.parametrize(
    ("status", "plan", "continues"),
    [
        ("running", "plan", True),  # killed: nobody wrote that it ended
        ("interrupted", "plan", True),  # Ctrl-C
        ("failed", "plan", True),  # a full disk, say
        ("finished", "plan", False),
        ("ended", "plan", False),  # a gate ended it
        ("waiting", "plan", False),  # a person decides, not the command
        ("running", "other", False),  # another recipe or source
    ],
)
def test_only_an_unfinished_run_of_the_same_plan_is_continued(
    tmp_path: Path, status: str, plan: str, continues: bool
) -> None:
    first = begin(tmp_path, plan)
    first.update(status=status)
    again = Journal.resume_or_begin(tmp_path, project="p", source="s", recipe={}, plan="plan")
    assert (again.run_id == first.run_id) == continues


def test_it_asks_until_an_answer_stands_in_it(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    assert not journal.asks
    journal.update(question="go on?")
    assert journal.asks
    journal.update(decisions={"gate_data": {"choice": "end"}})
    assert not journal.asks


def test_a_stage_that_is_done_again_replaces_its_row(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    for cached in (False, True):
        journal.note_stage({"name": "ingest", "cached": cached}, {"uri": "u"})
    assert journal.public["stages"] == [{"name": "ingest", "cached": True}]


def test_runs_are_found_by_the_beginning_of_their_id(tmp_path: Path) -> None:
    journal = begin(tmp_path)
    assert find_journal(tmp_path, journal.run_id[:-2]) == journal
    with pytest.raises(ArtifactMissing, match="edgewright runs"):
        find_journal(tmp_path, "nothing")
    assert [known.run_id for known in journals(tmp_path)] == [journal.run_id]


def test_latest_is_the_newest_that_has_what_is_asked_for(tmp_path: Path) -> None:
    """A start that failed has nothing."""
    runs = [begin(tmp_path) for _ in range(5)]
    whole, waiting, short, *failed = sorted(runs, key=lambda run: run.run_id)
    for name in ("ingest", "quantize"):
        whole.note_stage({"name": name}, {"uri": name})
    for run in (waiting, short):
        run.note_stage({"name": "ingest"}, {"uri": "ingest"})
    waiting.update(status="waiting")
    failed[0].update(status="failed")
    assert find_journal(tmp_path, "latest") == short
    assert find_journal(tmp_path, "latest", stage="ingest") == short
    assert find_journal(tmp_path, "latest", stage="quantize") == whole
    assert find_journal(tmp_path, "latest", status="waiting") == waiting
    assert find_journal(tmp_path, failed[0].run_id, stage="quantize") == failed[0], "named, it is taken as it is"
    with pytest.raises(ArtifactMissing, match=r"no run has a result of label \(got 5 runs"):
        find_journal(tmp_path, "latest", stage="label")
    with pytest.raises(ArtifactMissing, match="no run has a result"):
        find_journal(tmp_path / "none", "latest")


def test_a_second_live_run_is_refused_and_a_dead_one_is_not(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from tasks.engine.journal import home_lock\n"
    code += f"with home_lock(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(HomeBusy, match=str(holder.pid)), home_lock(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with home_lock(tmp_path):
        pass


def test_projects_go_on_beside_each_other_and_one_project_does_not(tmp_path: Path) -> None:
    with project_lock(tmp_path, "nuts", waits=False):
        with project_lock(tmp_path, "cells", waits=False):
            pass
        for taken in (project_lock(tmp_path, "nuts", waits=False), home_lock(tmp_path)):
            with pytest.raises(HomeBusy), taken:
                pass
    with home_lock(tmp_path), pytest.raises(HomeBusy), project_lock(tmp_path, "cells", waits=False):
        pass


def test_what_a_schedule_began_waits_for_its_turn(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with project_lock(tmp_path, "nuts", waits=True):
            order.append("second")

    waiting = threading.Thread(target=second)
    with project_lock(tmp_path, "nuts", waits=False):
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join(20)
    assert order == ["first", "second"]
