"""`with-secrets`: files become variables, and a secret that is missing its content stops the start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.infra.places import CONTAINERS

SHOW = ["sh", "-c", 'printf "%s|" "${PGPASSWORD-unset}" "${postgres_password-unset}"']


def start(secrets: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "SECRETS_FOLDER": str(secrets)}
    command = [str(CONTAINERS / "with_secrets.sh"), *SHOW]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "unset|unset|"),  # an image without secrets
        ({"PGPASSWORD": "x y'$z\n"}, "x y'$z|unset|"),  # one line: its end is not part of it
        ({"PGPASSWORD": "x", "postgres_password": "y"}, "x|unset|"),  # PostgreSQL's own file is no variable
    ],
)
def test_files_are_variables(files: dict[str, str], said: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "kubernetes.io").mkdir()  # where a pod's token lies
    done = start(tmp_path)
    assert (done.returncode, done.stdout) == (0, said)


def test_there_is_no_folder_of_secrets(tmp_path: Path) -> None:
    assert start(tmp_path / "absent").stdout == "unset|unset|"


def test_an_empty_secret_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "PGPASSWORD").write_text("\n")
    done = start(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "PGPASSWORD is empty" in done.stderr


def test_a_secret_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "PGPASSWORD").mkdir()  # as unreadable to root as to anybody
    done = start(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be read by uid" in done.stderr


def test_the_exit_code_is_the_programs() -> None:
    command = [str(CONTAINERS / "with_secrets.sh"), "sh", "-c", "exit 7"]
    assert subprocess.run(command, env={"PATH": os.environ["PATH"]}, check=False).returncode == 7
