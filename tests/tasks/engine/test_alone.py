"""Equal work is done by one process at a time, and who waited is told so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tasks.engine.alone import alone_in

HOLD = """
import sys
from pathlib import Path
from edgewright.files import try_locked
with try_locked(Path(sys.argv[1] + ".lock")) as free:
    print(free, flush=True)
    sys.stdin.read()
    Path(sys.argv[1], "left").write_text("here")
"""


def test_nobody_else_is_at_it(tmp_path: Path) -> None:
    with alone_in(tmp_path / "work" / "key", stage="toy") as waited:
        assert (waited, (tmp_path / "work" / "key").is_dir()) == (False, True)


def test_who_comes_second_waits_until_the_first_is_done(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    words = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None and first.stdin is not None
        assert first.stdout.readline() == b"True\n"
        first.stdin.close()  # it ends when it reads that, whoever waits meanwhile
        with alone_in(folder, stage="toy"):
            assert (folder / "left").read_text() == "here"


def test_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    words = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"True\n"
        first.kill()
        first.wait()
        with alone_in(folder, stage="toy") as waited:
            assert not waited
