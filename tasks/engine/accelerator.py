"""Which accelerators a dispatched stage computes on: the first of this machine that no other stage of the home has.

Decides by a lock a device, which the system lets go of when the process dies. CUDA numbers what it is told as 0, 1, …:
a stage finds its own whatever it asks for. Refuses nothing: where the environment names devices already, where there is
one or none, or where too few are free, the stage sees what it would have seen.

    with own_accelerators(1, settings.home): …          # before anything has asked CUDA
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgewright.files import try_locked

VISIBLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")


def accelerators(driver: Path = _DRIVER) -> list[str]:
    """Their models, as the driver lists them; torch is not imported for it."""
    return [_model(path / "information") for path in sorted(driver.glob("*"))]


@contextmanager
def own_accelerators(wanted: int, home: Path, *, known: Sequence[str] | None = None) -> Iterator[list[int]]:
    """The numbers of those that were claimed; empty where none had to be.

    Args:
        known: the machine's; by default asked for.
    """
    count = len(accelerators() if known is None else known)
    if count < 2 or VISIBLE in os.environ:
        yield []
        return
    folder = home / "accelerators"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        claimed: list[int] = []
        for number in range(count):
            if len(claimed) < wanted and held.enter_context(try_locked(folder / f"{number}.lock")):
                claimed.append(number)
        if len(claimed) < wanted:
            yield []
            return
        os.environ[VISIBLE] = ",".join(map(str, claimed))
        try:
            yield claimed
        finally:
            del os.environ[VISIBLE]


def _model(information: Path) -> str:
    try:
        told = dict(line.partition(":")[::2] for line in information.read_text().splitlines())
    except OSError:
        told = {}
    return told.get("Model", "an NVIDIA device").strip()
