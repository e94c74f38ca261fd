"""What each installation can do: the base of a device, a worker without torch, an image, a system without libGL.

Every environment is built from the wheel of this checkout, with the constraints that users get.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tasks.engine.stage import POOLS
from tests.conftest import free_port
from tests.infra.images import Image
from tests.infra.places import SERVICES, last_of

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = ("edgewright", "flows", "tasks", "deployments")
LIGHT = "import edgewright.device, edgewright.device.cli, edgewright.runtime, edgewright.simulate, edgewright.progress"
MAX_BASE_WHEELS = 12
HERE = Path(sys.executable).parent

# Shows a command, in a root of its own, this environment at the places where it is (folders separated by ":").
# The mounts and the processes live in namespaces: nothing of them is left when the command ends.
ENTER = """
set -euo pipefail
root=$1; IFS=: read -ra folders <<< "$2"; shift 2
for folder in "${folders[@]}"; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" env -i PATH=/usr/bin:/bin HOME=/tmp LANG=C.UTF-8 EDGEWRIGHT_HOME=/tmp/home "$@"
"""
NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]


def run(*command: str | Path, timeout_s: float = 1200, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The environment variables of this process, without those that point into this checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "EDGEWRIGHT", "PREFECT", "MLFLOW"))}
    arguments = [str(part) for part in command]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=timeout_s, cwd=cwd, env=kept, check=False)


def must(*command: str | Path, timeout_s: float = 1200, cwd: Path | None = None) -> str:
    done = run(*command, timeout_s=timeout_s, cwd=cwd)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves its build folder beside the sources."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    must(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", copy / "dist", copy)
    return next((copy / "dist").glob("edgewright-*.whl"))


def environment(folder: Path, requirement: str) -> Path:
    """A fresh virtual environment with one requirement; returns its `bin`."""
    venv.create(folder, with_pip=True)
    words = ["install", "-q", "--no-compile", "-c", ROOT / "constraints.txt", requirement]
    must(folder / "bin/python", "-m", "pip", *words)
    return folder / "bin"


@pytest.fixture(scope="module")
def base(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("base"), str(wheel))


@pytest.fixture(scope="module")
def pipeline(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("pipeline"), f"edgewright[pipeline,postgres] @ {wheel.as_uri()}")


def test_the_base_is_small(base: Path) -> None:
    installed = must(base / "pip", "list", "--format=freeze").split()
    names = {line.split("==")[0].lower() for line in installed} - {"pip", "setuptools", "wheel", "edgewright"}
    assert len(names) <= MAX_BASE_WHEELS, sorted(names)


def test_the_device_agent_runs_on_the_base(base: Path, tmp_path: Path) -> None:
    must(base / "python", "-c", LIGHT, cwd=tmp_path)
    assert "usage: edgewright-device" in must(base / "edgewright-device", "--help", cwd=tmp_path)


def test_signatures_on_the_base_are_not_the_slow_ones(base: Path, tmp_path: Path) -> None:
    """securesystemslib falls back silently to pure Python where `cryptography` is absent."""
    must(base / "python", "-c", "import cryptography.hazmat.primitives.asymmetric.ed25519", cwd=tmp_path)


def test_a_command_without_its_extra_names_it(base: Path, tmp_path: Path) -> None:
    done = run(base / "edgewright", "run", "demo", cwd=tmp_path)
    assert done.returncode == 2
    assert "edgewright[pipeline]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_control_worker_needs_no_training_stack(pipeline: Path, tmp_path: Path) -> None:
    stages = [path.stem for path in sorted((ROOT / "tasks").glob("*.py")) if path.stem != "__init__"]
    modules = ["edgewright.cli", "flows.lifecycle", "deployments", *(f"tasks.{name}" for name in stages)]
    code = f"import {', '.join(modules)}\nimport sys\nassert 'torch' not in sys.modules"
    must(pipeline / "python", "-c", code, cwd=tmp_path)
    assert run(pipeline / "python", "-c", "import torch", cwd=tmp_path).returncode != 0
    assert "run" in must(pipeline / "edgewright", "--help", cwd=tmp_path)


def test_the_wheel_carries_its_data(base: Path, tmp_path: Path) -> None:
    code = "from importlib.resources import files as f; print(f('deployments') / 'prefect.yaml')"
    for name in must(base / "python", "-c", code, cwd=tmp_path).split():
        assert Path(name).is_file(), name


def test_a_devices_image_says_what_it_lacks(base: Path, tmp_path: Path) -> None:
    """Started without an identity; `test_device_loop.py` shows what it does with one."""
    device = Image("device", base, tmp_path)
    begun = device.run(json.loads(last_of("device", "CMD")))
    assert begun.returncode == 2
    assert "not a device's folder" in begun.stderr and "edgewright-device init" in begun.stderr
    checked = device.run(json.loads(last_of("device", "HEALTHCHECK").partition(" CMD ")[2]))
    assert checked.returncode == 1
    assert "not a device's folder" in checked.stderr


def at(port: int, words: Sequence[str]) -> list[str]:
    """The command of a service of the compose file, at a port of this machine alone."""
    unset = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", "\n".join(words))
    said = re.sub(r"\b(4200|5000|8470|8472|8080)\b", str(port), unset).replace("0.0.0.0", "127.0.0.1")
    return said.split("\n")


def answer(url: str, **headers: str) -> int:
    """The status."""
    try:
        return int(urlopen(Request(url, headers=headers), timeout=10).status)
    except HTTPError as error:
        error.close()
        return error.code


def test_the_servers_and_workers_of_the_images_start(pipeline: Path, tmp_path: Path) -> None:
    """What compose.yaml runs, over sqlite and a folder: Prefect with its password, MLflow with its names, the release
    server, the collector, deployments, and a worker a pool. The images `cpu` and `gpu` have the training stack, as this
    environment has, which is theirs and the development tools'."""
    control = Image("control", pipeline, tmp_path / "control")
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"):
        control.give_secret(name, "edgewright:secret")
    port, mlflow_port, releases_port, collector_port = free_port(), free_port(), free_port(), free_port()
    api = f"http://127.0.0.1:{port}/api"
    mlflow = [
        *[word for word in SERVICES["mlflow"]["command"] if not word.startswith(("--backend", "--artifacts"))],
        f"--backend-store-uri=sqlite:///{tmp_path}/mlflow.db",
        f"--artifacts-destination={tmp_path}/artifacts",
    ]
    with (
        control.started(at(port, SERVICES["prefect"]["command"]), PREFECT_SERVER_UI_API_URL=api),
        control.started(at(mlflow_port, mlflow), MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
        control.started(at(releases_port, SERVICES["releases"]["command"])),
        control.started(at(collector_port, SERVICES["collector"]["command"])),
    ):
        control.await_answer(at(port, SERVICES["prefect"]["healthcheck"]["test"][1:]))
        assert answer(f"{api}/work_pools/cpu") == HTTPStatus.UNAUTHORIZED
        deployed = control.run(SERVICES["deployments"]["command"], PREFECT_API_URL=api)
        assert deployed.returncode == 0, deployed.stdout[-2000:] + deployed.stderr[-2000:]
        for pool in POOLS:
            target = SERVICES[pool]["image"].partition(":")[0].removeprefix("edgewright-")
            start_worker(
                pool,
                Image(target, pipeline if target in ("control", "edge") else HERE, tmp_path / "workers" / pool),
                api,
            )
        control.await_answer(at(mlflow_port, SERVICES["mlflow"]["healthcheck"]["test"][1:]))
        search = f"http://127.0.0.1:{mlflow_port}/api/2.0/mlflow/experiments/get?experiment_id=0"
        assert answer(search, Host=f"mlflow:{mlflow_port}") == HTTPStatus.OK
        assert answer(search, Host="elsewhere.example") == HTTPStatus.FORBIDDEN
        control.await_answer(at(releases_port, SERVICES["releases"]["healthcheck"]["test"][1:]))
        control.await_answer(at(collector_port, SERVICES["collector"]["healthcheck"]["test"][1:]))
    database = next(word for word in SERVICES["mlflow"]["command"] if word.startswith("--backend-store-uri="))
    code = f"import asyncpg, sqlalchemy; sqlalchemy.create_engine({database.partition('=')[2]!r})"  # imports its driver
    must(pipeline / "python", "-c", code, cwd=tmp_path)


def start_worker(pool: str, image: Image, api: str) -> None:
    """It polls, says so where the image's health check asks, and ends when it is told to."""
    image.give_secret("PREFECT_API_AUTH_STRING", "edgewright:secret")
    target = SERVICES[pool]["image"].partition(":")[0].removeprefix("edgewright-")
    command = SERVICES[pool].get("command") or json.loads(last_of(target, "CMD"))
    port = free_port()
    environment = {"PREFECT_API_URL": api, "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
    with image.started(command, **environment, PREFECT_WORKER_WEBSERVER_HOST="127.0.0.1"):
        image.await_answer(at(port, json.loads(last_of(target, "HEALTHCHECK").partition(" CMD ")[2])))
        secret = base64.b64encode(b"edgewright:secret").decode()
        headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
        asked = Request(f"{api}/work_pools/{pool}/workers/filter", data=b"{}", headers=headers)
        deadline = time.monotonic() + 60
        while "ONLINE" not in (said := urlopen(asked, timeout=10).read().decode()):
            assert time.monotonic() < deadline, said
            time.sleep(0.5)
        image.await_line(command, "started!")  # told to end while it prints this, Prefect prints within its print


@pytest.fixture(scope="module")
def slim_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian 12 with Python and nothing else: no libGL, no X libraries."""
    if os.geteuid() != 0:
        pytest.skip("needs root: debootstrap and chroot")
    for tool in ("debootstrap", "unshare"):
        if not shutil.which(tool):
            pytest.skip(f"needs {tool}")
    if sys.base_prefix == "/usr":
        pytest.skip("this Python is the system's: binding it would bring the system's libGL along")
    if run(*NAMESPACES, "true").returncode:
        pytest.skip("needs the right to unshare namespaces")
    root = tmp_path_factory.mktemp("slim")
    # Debian's python3 brings the libraries that any Python links to: OpenSSL, SQLite, libffi.
    must("debootstrap", "--variant=minbase", "--include=python3", "bookworm", root)
    probe = inside(root, "import ssl, sqlite3, ctypes")
    if probe.returncode:
        pytest.skip(f"this Python does not run on Debian 12: {probe.stderr[-300:]}")
    return root


def inside(root: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python code in the slim root, by this environment's interpreter and packages."""
    folders = ":".join([sys.base_prefix, sys.prefix, str(ROOT)])
    enter = [*NAMESPACES, "bash", "-c", ENTER, "enter", str(root), folders]
    kept = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "EDGEWRIGHT_THREADS") if name in os.environ]
    return run(*enter, "env", f"PYTHONPATH={ROOT}", *kept, sys.executable, "-c", code, *arguments)


def test_the_demo_runs_without_libgl(slim_root: Path, brief_settings: list[str]) -> None:
    """The toy run's detector and threads: one that is released there is released here."""
    absent = inside(slim_root, "import ctypes; ctypes.CDLL('libGL.so.1')")
    assert "cannot open shared object file" in absent.stderr
    imported = inside(slim_root, "import cv2, torch, torchvision, ultralytics")
    assert imported.returncode == 0, imported.stderr[-2000:] + "\nNext: rm .venv/.factory && make setup"
    done = inside(slim_root, "from edgewright.cli import main; main()", "run", "demo", "--json", *brief_settings)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    result = json.loads(done.stdout[done.stdout.index("{") :])
    assert result["error"] is None
    assert result["release"]["version"]
    assert result["device"]["slot"]
