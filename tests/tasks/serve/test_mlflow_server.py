"""MLflow's server: an older home's tables are upgraded once, and no secret stands on its command line."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edgewright.errors import StageFailed
from edgewright.settings import Passwords
from tasks.serve.mlflow_server import _GUARDED, take_password, upgrade

_OLD = """\
from sqlalchemy import create_engine
from mlflow.store.tracking.dbmodels.initial_models import Base
import sys
Base.metadata.create_all(create_engine(sys.argv[1]))
"""
"""The tables of MLflow 1.0, which its first migration begins with."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("old") / "mlflow.db"
    subprocess.run([sys.executable, "-W", "ignore", "-c", _OLD, f"sqlite:///{path}"], check=True)
    return path


def test_tables_of_an_older_mlflow_are_upgraded_once(old: Path) -> None:
    noted = old.parent / "upgraded"
    upgrade(f"sqlite:///{old}", noted=noted)
    with sqlite3.connect(old) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"runs", "registered_models", "alembic_version"} <= tables
    old.unlink()
    upgrade(f"sqlite:///{old}", noted=noted)
    assert not old.exists(), "it was looked at again"


def test_tables_that_are_not_there_are_not_made(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/mlflow.db", noted=tmp_path / "noted")
    assert not (tmp_path / "mlflow.db").exists()
    assert (tmp_path / "noted").exists()


def test_what_cannot_be_upgraded_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "mlflow.db"
    broken.write_text("no database at all, but long enough to be taken for something" * 20)
    with pytest.raises(StageFailed, match="MLflow's tables could not be upgraded"):
        upgrade(f"sqlite:///{broken}", noted=tmp_path / "noted")
    assert not (tmp_path / "noted").exists()


USERS = """
import sys
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore()
store.init_db(f"sqlite:///{sys.argv[1]}/auth.db")
if sys.argv[2] == "make":
    store.create_user("admin", sys.argv[3], is_admin=True)
print(store.authenticate_user("admin", sys.argv[3]), store.get_user("admin").is_admin)
"""


def asked(folder: Path, what: str, password: str) -> str:
    """Whether MLflow's own table of users opens to it."""
    words = [sys.executable, "-W", "ignore", "-c", USERS, str(folder), what, password]
    environment = {**os.environ, "MLFLOW_FLASK_SERVER_SECRET_KEY": "of a test"}
    return subprocess.run(words, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def test_a_changed_password_is_taken_and_the_old_one_opens_nothing(tmp_path: Path) -> None:
    """MLflow itself takes its administrator's password once."""
    pytest.importorskip("flask_wtf", reason="no Flask-WTF: pip install 'edgewright[auth]'")
    (tmp_path / "auth.ini").write_text(_GUARDED.format(folder=tmp_path))
    take_password(tmp_path, Passwords(mlflow="of no use: nobody is there"))
    assert not (tmp_path / "auth.db").exists()
    assert asked(tmp_path, "make", "a password that leaked") == "True True"
    take_password(tmp_path, Passwords(mlflow="another of some length"))
    assert asked(tmp_path, "ask", "another of some length") == "True True"
    assert asked(tmp_path, "ask", "a password that leaked") == "False True"
