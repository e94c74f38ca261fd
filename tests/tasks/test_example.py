"""The worked example of docs/adding-a-stage.md does what it says, in no more lines than it promises."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgewright.artifacts import ArtifactRef, LocalStore
from tasks.engine.session import Session

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-stage.md").read_text()
STAGE, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_runs(
    tmp_path: Path,
    open_session: Callable[[LocalStore], Session],
    publish_photographs: Callable[[LocalStore, Sequence[int]], ArtifactRef],
) -> None:
    file = tmp_path / "sharpness.py"
    file.write_text(STAGE + TEST)
    spec = importlib.util.spec_from_file_location("sharpness", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["sharpness"] = module
    try:
        spec.loader.exec_module(module)
        test = module.test_the_worst_are_named_and_known_the_second_time
        test(open_session, publish_photographs, LocalStore(tmp_path / "store"))
    finally:
        del sys.modules["sharpness"]


def test_it_is_short() -> None:
    lines = [line for line in (STAGE + TEST).splitlines() if line.strip()]
    assert len(lines) <= 40
