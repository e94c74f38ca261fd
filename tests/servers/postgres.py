"""A real PostgreSQL for tests: a cluster of their own in a folder, on 127.0.0.1, which asks for a password.

with postgres() as url: …       # postgresql://edgewright:…@127.0.0.1:PORT; None where no PostgreSQL is installed

Debian's package `postgresql` brings what it needs. It runs as another user where the tests run as root, for whom it
does not start.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import free_port

USER = "edgewright"
_ITS_USER = "postgres"
_WITHIN_S = 60.0


def binaries() -> Path | None:
    """Where its newest version's programs lie."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return next((place for place in reversed(places) if (place / "initdb").exists()), None)


@contextmanager
def postgres() -> Iterator[str | None]:
    programs = binaries()
    if programs is None:
        yield None
        return
    as_whom = {"user": _ITS_USER, "group": _ITS_USER} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="edgewright-postgres-") as name:
        folder, password, port = Path(name), secrets.token_hex(8), free_port()
        (folder / "password").write_text(password)
        if as_whom:
            shutil.chown(folder, _ITS_USER, _ITS_USER)
            shutil.chown(folder / "password", _ITS_USER, _ITS_USER)
        made = ("-D", str(folder / "data"), "-U", USER, "-A", "scram-sha-256", "--pwfile", str(folder / "password"))
        subprocess.run([programs / "initdb", *made], cwd=folder, capture_output=True, check=True, **as_whom)  # type: ignore[call-overload]
        served = ("-D", str(folder / "data"), "-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1")
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen([programs / "postgres", *served], cwd=folder, stdout=log, stderr=log, **as_whom)  # type: ignore[call-overload]
        try:
            _await(programs, port)
            yield f"postgresql://{USER}:{password}@127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            server.wait(_WITHIN_S)


def _await(programs: Path, port: int) -> None:
    deadline = time.monotonic() + _WITHIN_S
    asked = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(asked, check=False).returncode:
        assert time.monotonic() < deadline, "PostgreSQL did not start"
        time.sleep(0.1)
