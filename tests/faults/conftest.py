"""These tests take minutes each, most of it waiting: they are run where they are asked for, by `make test-faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Pytest hands over the items of the whole session."""
    if "faults" in config.option.markexpr:
        return
    here = [item for item in items if _HERE in item.path.parents]
    config.hook.pytest_deselected(items=here)
    items[:] = [item for item in items if item not in here]
