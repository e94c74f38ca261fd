"""The dependency rule, where import-linter cannot see it: the environment, import time, what is declared."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("edgewright", "flows", "tasks", "deployments")
LIGHT = ("runtime", "simulate", "device", "addresses.py", "errors.py", "files.py", "progress.py")
LIGHT_BASE = {"numpy", "PIL", "onnxruntime", "tuf", "securesystemslib", "cryptography", "urllib3", "edgewright"}
OUTERMOST = {"edgewright.api", "edgewright.cli"}
HEAVY = ("torch", "torchvision", "ultralytics", "onnx", "cv2")
ENVIRONMENT = {
    "edgewright/settings.py": "the one reader",
    "edgewright/device/__init__.py": "ONNX Runtime looks there alone whether it may report to its makers",
    "edgewright/device/process.py": "proxies between a device and its server, which TUF's client takes from there",
    "edgewright/processes.py": "another process's, to know whose it is",
    "edgewright/detect/yolo/library.py": "ultralytics reads its switches from there alone, before its first import",
    "tasks/engine/accelerator.py": "to CUDA, which reads there alone what it may use",
    "tasks/engine/prefect_log.py": "whether Prefect has begun this process for a flow run",
    "tasks/serve/prefect_server.py": "hands it on to the Prefect server that it starts",
    "tasks/serve/mlflow_server.py": "to the MLflow server that it starts",
    "tasks/serve/workers.py": "to the workers that it starts",
    "tasks/serve/deploying.py": "to Prefect's command that deploys",
    "edgewright/cli/stack.py": "to the command that stays when it returns",
}


def sources(*folders: str) -> list[Path]:
    roots = [ROOT / folder for folder in folders]
    found = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*.py"))]
    return sorted(path.relative_to(ROOT) for path in found)


def imports(path: Path) -> Iterator[str]:
    """Top-level names that a file imports anywhere, lazily too."""
    for node in ast.walk(ast.parse((ROOT / path).read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def reads_environment(path: Path) -> bool:
    names = {"environ", "environb", "getenv", "putenv"}
    nodes = ast.walk(ast.parse((ROOT / path).read_bytes()))
    return any(
        (isinstance(node, ast.Attribute) and node.attr in names)
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and {alias.name for alias in node.names} & names)
        for node in nodes
    )


def modules(*folders: str) -> list[str]:
    """Dotted names; a `__main__` is a program, not to be imported."""
    dotted = (".".join(path.with_suffix("").parts) for path in sources(*folders))
    return [name.removesuffix(".__init__") for name in dotted if not name.endswith(".__main__")]


def loaded_after_import(names: list[str]) -> set[str]:
    """Top-level modules in memory after importing `names` in a fresh process."""
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, *names], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_only_settings_reads_the_environment() -> None:
    assert {str(path) for path in sources(*PACKAGES) if reads_environment(path)} == set(ENVIRONMENT)


EXTRAS = {
    ("edgewright/runtime/engines.py", "openvino"),
    ("edgewright/device/live.py", "cv2"),
    ("edgewright/device/mqtt.py", "paho"),
}


@pytest.mark.parametrize("room", LIGHT)
def test_light_rooms_import_the_light_base_alone(room: str) -> None:
    foreign = {
        (str(path), name)
        for path in sources(f"edgewright/{room}")
        for name in imports(path)
        if name not in LIGHT_BASE | set(sys.stdlib_module_names)
    }
    assert foreign <= EXTRAS, "where they are asked for"


def test_light_rooms_load_nothing_heavy() -> None:
    loaded = loaded_after_import(modules(*(f"edgewright/{room}" for room in LIGHT)))
    # Not boto3: securesystemslib imports it by itself where it is installed.
    assert loaded & {*HEAVY, "openvino", "prefect", "mlflow", "pydantic", "pyarrow", "yaml", "scipy"} == set()


def test_the_package_itself_loads_nothing() -> None:
    """A device imports it for its version; whoever asks for the face gets it, typed, then."""
    assert loaded_after_import(["edgewright"]) - loaded_after_import(["importlib", "typing"]) == {"edgewright"}


def test_flows_tasks_and_commands_load_without_the_training_stack() -> None:
    loaded = loaded_after_import([*modules("flows", "tasks", "deployments"), "edgewright.cli"])
    assert loaded & set(HEAVY) == set()
    assert "prefect" in loaded


def test_the_contracts_name_every_room() -> None:
    """A new room that no contract names would be held by none."""
    contracts = {contract["name"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}
    rooms = {
        f"edgewright.{path.stem}"
        for path in (ROOT / "edgewright").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem != "__init__"
    }
    layers = contracts["edgewright.api -> edgewright.cli -> flows -> tasks -> rooms"]["layers"]
    assert set(re.findall(r"edgewright\.\w+", " ".join(layers))) == rooms
    quiet = contracts["rooms know neither Prefect nor MLflow nor the terminal"]["source_modules"]
    assert set(quiet) == rooms - OUTERMOST


def test_the_contracts_name_every_stage() -> None:
    contracts = {contract["name"]: contract for contract in PYPROJECT["tool"]["importlinter"]["contracts"]}
    stages = {f"tasks.{path.stem}" for path in (ROOT / "tasks").glob("*.py") if path.stem != "__init__"}
    assert set(contracts["stages -> engine"]["forbidden_modules"]) == {"tasks.serve", *stages}


def test_every_import_is_declared() -> None:
    """What a file imports stands in a dependency list: nothing works only because another package pulls it."""
    project = PYPROJECT["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {re.split(r"[^\w.-]", text)[0].lower().replace("_", "-") for texts in lists for text in texts}
    owners = importlib.metadata.packages_distributions()
    foreign = {
        name: str(path)
        for path in sources(*PACKAGES, "benchmarks", "docs", "tests")
        for name in imports(path)
        if name not in {*sys.stdlib_module_names, *PACKAGES, "benchmarks", "tests"}
    }
    undeclared = {
        name: path
        for name, path in foreign.items()
        if not {owner.lower().replace("_", "-") for owner in owners.get(name, [])} & declared
    }
    assert undeclared == {"gi": "tests/servers/rtsp.py"}, "which Debian's own Python runs"


def test_a_file_of_an_artifact_is_named_where_it_is_written() -> None:
    """By a constant: whoever reads it takes the name from there."""
    trees = {path: ast.parse((ROOT / path).read_bytes()) for path in sources(*PACKAGES)}
    naming = {path: list(_named_files(tree)) for path, tree in trees.items()}
    names = {one.value for found in naming.values() for one in found}
    assert {"verdict.json", "dataset.json", "history.json", "model.onnx", "run.json"} <= names
    again = {
        (str(path), node.value)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in names and node not in naming[path]
    }
    assert again == set()


def _named_files(tree: ast.Module) -> Iterator[ast.Constant]:
    """The names of `X_FILE = "x.json"`, and of several such in one line."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and re.search(r"\b[A-Z_]+_FILE\b", ast.unparse(statement.targets[0])):
            nodes = (node for node in ast.walk(statement.value) if isinstance(node, ast.Constant))
            yield from (node for node in nodes if "." in str(node.value))
