"""What holds for every file of infra/: variables are read, images exist, no secret and no path of one machine."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import mlflow.cli
import prefect.settings
import pytest
import yaml

import edgewright
from edgewright.settings import NAMES
from tests.infra.kustomize import containers, render
from tests.infra.places import CONTAINERFILE, CONTAINERS, INFRA, PINNED, ROOT, SERVICES, SYSTEMD, TARGETS

OVERLAYS = [render(INFRA / "kubernetes/overlays" / name) for name in ("one-node", "external", "jobs")]
TEMPLATES = [json.loads(path.read_text()) for path in sorted((INFRA / "kubernetes/work_pools").glob("*.json"))]
FILES = sorted(path for path in INFRA.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
ELSEWHERE = {
    "boto3": {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
    },
    "libpq, which MLflow's driver is made of": {"PGPASSWORD"},
    "the image of PostgreSQL": {
        "POSTGRES_USER",
        "POSTGRES_DB",
        "POSTGRES_PASSWORD",
        "POSTGRES_PASSWORD_FILE",
        "PGDATA",
    },
    "Versity S3 Gateway": {"ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"},
    "NVIDIA's container toolkit": {"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"},
    "Python, pip, a shell, ONNX Runtime": {
        "PYTHONUNBUFFERED",
        "PIP_NO_CACHE_DIR",
        "PIP_DISABLE_PIP_VERSION_CHECK",
        "HOME",
        "PATH",
        "ORT_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
    },
    "prefect-kubernetes 0.8, which is not installed here": {
        "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES",
        "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_NAME",
        "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_KEY",
    },
}
NEVER = {
    "a password in an address": r"://[^/\s:@]+:[^@\s/]+@",
    "a key": r"AKIA[0-9A-Z]{16}|-----BEGIN|gh[pousr]_\w{20}",
    "a registry's credentials": r"docker login|imagePullSecrets|\.dockerconfigjson|registry_(?:user|pass)",
    "a person's folder": r"(?<![\w.])/(?:hom[e]|roo[t]|User[s])/\w",
    "a token that is no example": r"(?i)\b(?:password|secret|token)\b\s*[:=]\s*['\"]?[A-Za-z0-9+/]{16,}",
}


def read_by_mlflow() -> set[str]:
    command = mlflow.cli.cli.commands["server"]
    options = {option.envvar for option in command.params if isinstance(option, click.Option) and option.envvar}
    variables = importlib.import_module("mlflow.environment_variables")
    return {str(name) for name in options} | {name for name in vars(variables) if name.startswith("MLFLOW_")}


def read_by_scripts() -> set[str]:
    shell = {name for path in CONTAINERS.glob("*.sh") for name in re.findall(r"\$\{([A-Z_]+)[:}]", path.read_text())}
    python = r"os\.environ(?:\.get\(|\[)\"([A-Z_]+)\""
    return shell | {name for path in CONTAINERS.glob("*.py") for name in re.findall(python, path.read_text())}


KNOWN = {*NAMES, *read_by_mlflow(), *read_by_scripts(), *(name for some in ELSEWHERE.values() for name in some)}


def unread(names: set[str]) -> set[str]:
    """Prefect has an attribute for each of its settings."""
    return {name for name in names - KNOWN if not (name.startswith("PREFECT_") and hasattr(prefect.settings, name))}


def walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(inner)


def of_compose() -> set[str]:
    given = {name for service in SERVICES.values() for name in service.get("environment", {})}
    return given | {
        s["target"] for service in SERVICES.values() for s in service.get("secrets", []) if isinstance(s, dict)
    }


def _listed(value: Any) -> list[dict[str, Any]]:
    """A container's variables are a list; what else is called so, in a template, is not."""
    return value if isinstance(value, list) else []


def of_kubernetes() -> set[str]:
    given = [variable for place in walk([*OVERLAYS, *TEMPLATES]) for variable in _listed(place.get("env"))]
    listed = {variable["name"] for variable in given}
    whole = {place["configMapRef"]["name"] for place in walk([*OVERLAYS, *TEMPLATES]) if "configMapRef" in place}
    maps = [m for m in walk(OVERLAYS) if m.get("kind") == "ConfigMap" and m["metadata"]["name"] in whole]
    assert whole == {"edgewright", "databases", "launcher"}
    return listed | {name for found in maps for name in found["data"]}


def of_systemd() -> set[str]:
    texts = [path.read_text() for path in SYSTEMD.glob("*.example")]
    units = [path.read_text() for path in SYSTEMD.glob("*.service")]
    files = {name for text in texts for name in re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text, re.MULTILINE)}
    return files | {name for text in units for name in re.findall(r"^Environment=(\w+)=", text, re.MULTILINE)}


def of_images() -> set[str]:
    joined = re.sub(r"\\\n\s*", " ", CONTAINERFILE)
    return {name for line in re.findall(r"^ENV (.*)$", joined, re.MULTILINE) for name in re.findall(r"(\w+)=", line)}


@pytest.mark.parametrize("named", [of_compose, of_kubernetes, of_systemd, of_images])
def test_every_variable_is_read_by_somebody(named: Any) -> None:
    names = named()
    assert len(names) > 5
    assert unread(names) == set()


def test_a_variable_that_nobody_reads_would_be_found() -> None:
    mistaken = {"PREFECT_API_URI", "MLFLOW_TRACKING_URL", "AWS_ENDPOINT"}
    assert unread(mistaken | {"PREFECT_API_URL"}) == mistaken


def test_kubernetes_uses_no_other_images() -> None:
    used = {container["image"] for overlay in OVERLAYS for manifest in overlay for container in containers(manifest)}
    used |= {template["variables"]["properties"]["image"]["default"] for template in TEMPLATES}
    ours = {image.rpartition("/")[2] for image in used - PINNED if not image.startswith("registry.example/")}
    away = {image.removeprefix("registry.example/") for image in used if image.startswith("registry.example/")}
    assert ours | away <= {f"edgewright-{target}:{edgewright.__version__}" for target in TARGETS}


def test_the_page_says_which_images_of_others_there_are() -> None:
    page = (ROOT / "docs/infra.md").read_text()
    assert {image for image in PINNED if f"`{image}`" not in page} == set()


def test_an_address_of_postgresql_names_the_driver_that_is_installed() -> None:
    """SQLAlchemy's own choice changes with its version; the extra `postgres` has psycopg, Prefect brings asyncpg."""
    found = {name for path in FILES for name in re.findall(r"\bpostgresql(\+?\w*)(?=://|$|\s)", path.read_text(), re.M)}
    assert found - {""} == {"+psycopg", "+asyncpg"}
    assert not any("postgresql://" in path.read_text() for path in FILES)


@pytest.mark.parametrize("what", NEVER)
def test_no_file_has(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in FILES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(NEVER[what], line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a password in an address", "postgresql://edgewright:hunter2@postgres/mlflow"),
        ("a person's folder", "volumes: [/hom" + "e/somebody/photos:/srv]"),
        ("a token that is no example", 'password: "0123456789abcdef0123"'),
    ],
)
def test_each_would_be_found(what: str, line: str) -> None:
    assert re.search(NEVER[what], line)


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".yaml"], ids=lambda p: str(p.relative_to(INFRA)))
def test_a_file_of_yaml_can_be_read(path: Path) -> None:
    assert list(yaml.safe_load_all(path.read_text()))
