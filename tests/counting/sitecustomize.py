"""What the tests cause, counted where it happens: in pytest's process and in every Python that is started below it.

Python imports a module of this name at start where this folder stands on PYTHONPATH, which `tests/budget.py` sees to.
The product knows nothing of it. A line a fact goes into the file that TESTS_COUNTED_IN names:

    command     `edgewright`, as a person would type it
    server      Prefect's, MLflow's or S3's
    training    an optimizer's first step
    step        each of its steps: what training costs, on any machine

Refuses to count what cleans its environment, as the fresh installations of tests/slow/test_environments.py do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from weakref import WeakSet

VARIABLE = "TESTS_COUNTED_IN"
_SERVERS = ("tasks.serve.app:create_app", "prefect server start", "mlflow server", "servers/swift.py")
_COMMANDS = ("-m edgewright.cli", "from edgewright.cli import main")


def kind_of(words: Sequence[str | bytes | os.PathLike[str]]) -> str:
    """What a started process is; "" where it is none of ours.

    >>> kind_of(["/usr/bin/python3", "-m", "edgewright.cli", "run", "demo"]), kind_of(["nproc"])
    ('command', '')
    """
    line = " ".join(os.fsdecode(word) for word in words)
    if any(part in line for part in _SERVERS):
        return "server"
    return "command" if any(part in line for part in _COMMANDS) else ""


def count_into(path: str) -> None:
    """Count from now on, in this process and in those that it forks."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    watching = False

    def tell(kind: str) -> None:
        if kind:
            os.write(file, f"{kind}\n".encode())

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal watching
        if event == "subprocess.Popen":
            tell(kind_of(arguments[1]))  # type: ignore[arg-type]
        elif event == "import" and not watching and "torch.optim.optimizer" in sys.modules:
            watching = _watch_optimizers(tell)

    sys.addaudithook(hear)


def _watch_optimizers(tell: Callable[[str], None]) -> bool:
    """False where torch is not whole yet: something else will be imported, and asks again."""
    register = getattr(sys.modules["torch.optim.optimizer"], "register_optimizer_step_post_hook", None)
    if register is None:
        return False
    known: WeakSet[object] = WeakSet()

    def stepped(optimizer: object, *_: object) -> None:
        if optimizer not in known:
            known.add(optimizer)
            tell("training")
        tell("step")

    register(stepped)
    return True


if os.environ.get(VARIABLE) and __name__ == "sitecustomize":
    count_into(os.environ[VARIABLE])
