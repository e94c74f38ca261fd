"""Which databases and folders the servers get. A real PostgreSQL: tests/slow/test_stack.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import InputError, StoreUnavailable
from edgewright.settings import read_settings
from tasks.serve.backends import artifacts_root, databases_of, prepared
from tests.conftest import free_port


@pytest.mark.parametrize(
    ("url", "prefect", "mlflow"),
    [
        (
            "postgresql://me:s%40cret@db.example:6432/team",
            "postgresql+asyncpg://me:s%40cret@db.example:6432/team_prefect",
            "postgresql+psycopg://me:s%40cret@db.example:6432/team_mlflow",
        ),
        (
            "postgres://db.example?sslmode=require",
            "postgresql+asyncpg://db.example/edgewright_prefect?ssl=require",
            "postgresql+psycopg://db.example/edgewright_mlflow?sslmode=require",
        ),
    ],
)
def test_a_database_each_with_the_driver_that_is_there(url: str, prefect: str, mlflow: str) -> None:
    found = databases_of(url)
    assert (found.prefect, found.mlflow) == (prefect, mlflow)


@pytest.mark.parametrize(
    "url",
    ["mysql://me:secret@db.example/x", "postgresql:///x", "db.example:5432", "postgresql://db.example/x?options=-c"],
)
def test_another_server_is_refused_and_no_password_shown(url: str) -> None:
    with pytest.raises(InputError, match="EDGEWRIGHT_DATABASE names no PostgreSQL server") as refused:
        databases_of(url)
    assert "secret" not in str(refused.value)


def test_a_server_that_does_not_answer_ends_it_with_its_words() -> None:
    environment = {"EDGEWRIGHT_DATABASE": f"postgresql://me:secret@127.0.0.1:{free_port()}/x"}
    with pytest.raises(StoreUnavailable, match="does not take us in") as refused:
        prepared(read_settings(environment))
    assert "secret" not in str(refused.value)


def test_nothing_is_prepared_where_files_serve() -> None:
    assert prepared(read_settings({})) is None


def test_files_lie_beside_the_store_or_in_the_home(tmp_path: Path) -> None:
    home = {"EDGEWRIGHT_HOME": str(tmp_path)}
    assert artifacts_root(read_settings(home)) == str(tmp_path / "mlflow" / "artifacts")
    assert artifacts_root(read_settings({**home, "EDGEWRIGHT_STORE": "s3://team/models/"})) == "s3://team/models/mlflow"
