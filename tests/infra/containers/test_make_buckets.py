"""`make-buckets`, against a real S3 server."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys

from tests.infra.places import CONTAINERS


def make(environment: dict[str, str], *names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(CONTAINERS / "make_buckets.py"), *names]
    env = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_buckets_are_made_once(s3_environment: dict[str, str]) -> None:
    names = [f"made-{secrets.token_hex(4)}" for _ in range(2)]
    said = "".join(f"bucket {name}\n" for name in names)
    for _ in range(2):  # a second start finds them
        done = make(s3_environment, *names)
        assert (done.returncode, done.stdout) == (0, said), done.stderr


def test_a_wrong_secret_is_no_success(s3_environment: dict[str, str]) -> None:
    done = make({**s3_environment, "AWS_SECRET_ACCESS_KEY": "wrong"}, "made-never")
    assert done.returncode != 0
    assert "SignatureDoesNotMatch" in done.stderr
