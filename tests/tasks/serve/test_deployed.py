"""Deployments of one's own: what is refused before a server is asked. The rest: tests/slow/test_stack.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgewright.errors import InputError
from edgewright.recipe import resolve
from edgewright.settings import Settings, read_settings
from tasks.serve.deployed import Wanted, deploy_own


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Workers may read `photographs`, and nothing else."""
    (tmp_path / "photographs").mkdir()
    return read_settings(
        {"EDGEWRIGHT_HOME": str(tmp_path / "home"), "EDGEWRIGHT_SOURCES": str(tmp_path / "photographs")}
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"source": "/etc"}, "workers may not read this source (expected a folder under EDGEWRIGHT_SOURCES, got /etc)"),
        ({"cron": "nonsense"}, "not a schedule"),
        ({"cron": "61 2 * * *"}, "not a schedule"),
        ({"cron": "0 2 * * *", "timezone": "Mars/Olympus"}, "no such time zone"),
        ({"timezone": "../etc/passwd"}, "no such time zone"),
        ({"name": "Not a name"}, "not a name for a deployment"),
        ({"name": ""}, "not a name for a deployment"),
        ({"name": "laptop"}, "a deployment of this name comes with edgewright (got laptop). Next: --name my-laptop"),
        ({"name": "retrain"}, "a deployment of this name comes with edgewright"),
    ],
)
def test_what_would_not_do_at_night_is_refused_now(settings: Settings, fields: dict[str, Any], said: str) -> None:
    wanted = {"name": "mine", "recipe": resolve("demo"), "source": "simulated", **fields}
    with pytest.raises(InputError) as refused:
        deploy_own(Wanted(**wanted), settings)
    assert str(refused.value).startswith(said)


def test_the_next_step_names_the_folder(settings: Settings) -> None:
    with pytest.raises(InputError, match="export EDGEWRIGHT_SOURCES=/var, here and where `edgewright up` runs"):
        deploy_own(Wanted("mine", resolve("laptop"), "/var/pictures"), settings)
