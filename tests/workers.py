"""Which tests share a worker, where pytest-xdist has some (`make test` has two), and what a worker computes with.

Decides the groups: the tests of a file, of a folder whose conftest trains something for all of them, and all that begin
with the toy run; so nothing is made twice. Long groups begin first, so that no worker is alone with one at the end. A
worker is a core: torch computes with one thread there and in the processes below it.

>>> group_of("tests/edgewright/label/test_train.py::test_it[gan]"), group_of("tests/test_docs.py::test_it")
('tests/edgewright/label', 'tests/test_docs.py')
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.budget import WORKER

TOY_RUN = "the toy run"
_TOY_FILES = (
    "tests/edgewright/report/test_cards.py",
    "tests/flows/test_lifecycle.py",
    "tests/slow/test_model_server.py",
    "tests/slow/test_refusals.py",
    "tests/slow/test_resume.py",
    "tests/slow/test_stack.py",
    "tests/tasks/engine/test_shown.py",
    "tests/test_tutorial.py",
)
_TOGETHER = ("tests/tasks", "tests/edgewright/label", "tests/edgewright/compress")
_APART = ("tests/slow/test_self_test.py", "tests/slow/test_interfaces.py")
_LONG_FIRST = (
    TOY_RUN,
    "tests/slow/test_environments.py",
    "tests/tasks",
    "tests/slow/test_experiment.py",
    "tests/edgewright/compress",
    "tests/slow/test_self_test.py",
    "tests/slow/",
    "tests/edgewright/label",
    "tests/edgewright/detect/",
    "tests/edgewright/gates/test_data_gate.py",
    "tests/edgewright/synth/",
)

if WORKER in os.environ:  # before anything imports torch
    os.environ |= {"OMP_NUM_THREADS": "1", "EDGEWRIGHT_THREADS": "1"}


def group_of(nodeid: str) -> str:
    """Tests of one group run on one worker."""
    file = nodeid.partition("::")[0]
    if file in _TOY_FILES:
        return TOY_RUN
    if file in _APART:
        return nodeid
    return next((folder for folder in _TOGETHER if file.startswith(f"{folder}/")), file)


def _rank(group: str) -> int:
    return next((place for place, start in enumerate(_LONG_FIRST) if group.startswith(start)), len(_LONG_FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if WORKER in os.environ:
        items.sort(key=lambda item: _rank(group_of(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # the order is ours
    return ByGroup(config, log)
