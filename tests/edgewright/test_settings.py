"""What the libraries are told before they are imported, and that a user's own word stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.settings import configure_libraries, read_settings


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({}, {"GOMP_SPINCOUNT": "50000", "OMP_NUM_THREADS": "3"}),
        ({"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "1"}, {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "1"}),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": None}),
    ],
    ids=["nothing said", "as said", "a policy, which a count of spins would outdo"],
)
def test_how_threads_wait(own: dict[str, str], told: dict[str, str | None], tmp_path: Path) -> None:
    environ = dict(own)
    configure_libraries(read_settings({"EDGEWRIGHT_HOME": str(tmp_path), "EDGEWRIGHT_THREADS": "3"}), environ)
    assert {name: environ.get(name) for name in told} == told
