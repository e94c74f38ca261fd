"""What an image would run, as a plain process: its commands, its variables and its folders, and nothing of this shell.

No container runtime is needed, and none is shown to work. Decides from infra/containers/Containerfile what an image
has: the scripts copied into it, the values of its ENV. The environment with its packages is the caller's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.infra.places import ROOT, inherited

HOME = "/var/lib/edgewright"
_START_S = 120.0
_STOP_S = 30.0
_ENDED_WELL = (0, -15, 143)
"""By itself, by the signal, or by it inside a shell."""


class Image:
    """One target, on an environment's `bin`.

    Args:
        folder: new; the image's home, its commands, its secrets.
    """

    def __init__(self, target: str, programs: Path, folder: Path) -> None:
        self.home, self.secrets, commands = folder / "home", folder / "secrets", folder / "bin"
        for path in (self.home, self.secrets, commands):
            path.mkdir(parents=True)
        for source, name in re.findall(
            r"^COPY .*(infra/containers/\S+) \S+/bin/(\S+)$", inherited(target), re.MULTILINE
        ):
            shutil.copy(ROOT / source, commands / name)
        said = " ".join(re.findall(r"^ENV (.*)$", inherited(target), re.MULTILINE))
        self.environment = {name: self._here(value) for name, value in re.findall(r"(\w+)=(\S+)", said)} | {
            "PATH": f"{commands}:{programs}:/usr/bin:/bin",
            "SECRETS_FOLDER": str(self.secrets),
            "LANG": "C.UTF-8",
        }

    def _here(self, text: str) -> str:
        return text.replace(HOME, str(self.home))

    def give_secret(self, name: str, value: str) -> None:
        (self.secrets / name).write_text(f"{value}\n")

    def run(
        self, command: Sequence[str], *, timeout_s: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", 'exec with-secrets "$@"', "image", *map(self._here, command)],
            env={**self.environment, **environment},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    @contextmanager
    def started(self, command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Ended with SIGTERM, as every runtime ends a container; it must end by itself then, and with success."""
        log = self._log(command)
        with log.open("w") as stream:
            process = subprocess.Popen(
                ["sh", "-c", 'exec with-secrets "$@"', "image", *map(self._here, command)],
                env={**self.environment, **environment},
                cwd=self.home,
                stdout=stream,
                stderr=stream,
                text=True,
            )
        try:
            yield process
            assert process.poll() is None, f"{command} ended by itself: {log.read_text()[-3000:]}"
            process.terminate()
            assert process.wait(_STOP_S) in _ENDED_WELL, f"{command} ended with {process.returncode}"
        except BaseException as error:
            error.add_note(f"{command} said: {log.read_text()[-3000:]}")
            raise
        finally:
            process.kill()
            process.wait()

    def _log(self, command: Sequence[str]) -> Path:
        return self.home / f"{'-'.join(command[:3])}.log".replace("/", "-")

    def await_line(self, command: Sequence[str], words: str) -> None:
        """Until a command that was started has printed it."""
        deadline = time.monotonic() + _START_S
        while words not in (said := self._log(command).read_text()):
            assert time.monotonic() < deadline, f"{command} said: {said[-3000:]}"
            time.sleep(0.1)

    def await_answer(self, check: Sequence[str]) -> None:
        """Until the health check of an image is content."""
        deadline = time.monotonic() + _START_S
        while (done := self.run(check)).returncode:
            assert time.monotonic() < deadline, f"{check}: {done.stderr}"
            time.sleep(0.5)
