"""What a command costs before it does anything: medians of fresh processes, beside an empty one and Prefect's import.

The bounds: `--help` <= 0.4 s, a dry run <= 1 s beyond `import prefect`. Words after the file's name are a command whose
unchanged repetition is measured too, in EDGEWRIGHT_HOME; the first call there makes whatever is not known yet.

python benchmarks/command_line.py
python benchmarks/command_line.py run demo --set ingest.photographs=90
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

RUNS = 7
COMMAND_LINE = ("-m", "edgewright.cli")
HELP = ("-X", "importtime", *COMMAND_LINE, "--help")
DRY_RUN = (*COMMAND_LINE, "run", "demo", "--dry-run")
EMPTY = "python -c pass"
PREFECT = "import prefect"
PROGRAMS: Mapping[str, Sequence[str]] = {
    EMPTY: ("-c", "pass"),
    PREFECT: ("-c", "import prefect"),
    "edgewright --help": HELP,
    "edgewright run demo --dry-run": DRY_RUN,
}


def once_s(words: Sequence[str], *, home: str) -> float:
    """Seconds that Python takes for these words in a process of its own. Raises CalledProcessError."""
    environment = {**os.environ, "EDGEWRIGHT_HOME": home}
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], env=environment, capture_output=True, check=True)
    return time.perf_counter() - began


def medians_s(programs: Mapping[str, Sequence[str]], *, home: str, runs: int) -> dict[str, float]:
    """Name => seconds. The programs take turns, so that whatever else the machine does meets all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(runs + 1):
        for name, words in programs.items():
            took_s = once_s(words, home=home)
            if number:  # the first reads what is not in the page cache yet
                times[name].append(took_s)
    return {name: statistics.median(found) for name, found in times.items()}


def main(words: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as home:
        found = medians_s(PROGRAMS, home=home, runs=RUNS)
    if words:
        again = " ".join(("edgewright", *words[:2], "again"))
        found |= medians_s({again: (*COMMAND_LINE, *words)}, home=os.environ.get("EDGEWRIGHT_HOME", ""), runs=3)
    for name, took_s in found.items():
        beyond = f"{took_s - found[PREFECT]:+.2f} s from {PREFECT}"
        print(f"{name:<34}{took_s:>7.2f} s {took_s / found[EMPTY]:>7.1f} x {EMPTY}   {beyond}")


if __name__ == "__main__":
    main(sys.argv[1:])
