"""Base job templates: current, every variable used, and a valid Job when Prefect fills them in."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from prefect.utilities.templating import apply_values

from tasks.engine.stage import POOLS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "infra/kubernetes/work_pools"
TEMPLATES: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}


def rendered(pool: str, **values: Any) -> dict[str, Any]:
    """By Prefect's own templating, with the defaults of the variables below the values, as its workers do."""
    template = TEMPLATES[pool]
    properties = template["variables"]["properties"]
    filled = {name: schema["default"] for name, schema in properties.items() if schema["default"] is not None} | values
    job = apply_values(template["job_configuration"], filled)
    assert isinstance(job, dict)
    return job


def test_they_are_current() -> None:
    """Next: python infra/kubernetes/write_work_pools.py."""
    writer = runpy.run_path(str(FOLDER.parent / "write_work_pools.py"))
    made = {pool.name: writer["page"](pool) for pool in writer["KUBERNETES_POOLS"]}
    assert {path.stem: path.read_text() for path in FOLDER.glob("*.json")} == made


def test_there_is_one_a_pool() -> None:
    assert set(TEMPLATES) == set(POOLS)


@pytest.mark.parametrize("pool", POOLS)
def test_every_variable_is_used_and_no_other(pool: str) -> None:
    """Prefect drops one that is not used, and leaves out what names none."""
    used = set(re.findall(r"\{\{ (\w+) \}\}", json.dumps(TEMPLATES[pool]["job_configuration"])))
    assert used == set(TEMPLATES[pool]["variables"]["properties"])


@pytest.mark.parametrize("pool", POOLS)
def test_variables_are_a_schema_and_defaults_keep_it(pool: str) -> None:
    variables = TEMPLATES[pool]["variables"]
    jsonschema.Draft202012Validator.check_schema(variables)
    for name, schema in variables["properties"].items():
        assert schema["description"].endswith("."), name
    jsonschema.validate({name: schema["default"] for name, schema in variables["properties"].items()}, variables)


@pytest.mark.parametrize("pool", POOLS)
def test_what_prefect_makes_of_it_is_a_valid_job(pool: str) -> None:
    job = rendered(pool, name="brave-cat", command="prefect flow-run execute")["job_manifest"]
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["args"] = container["args"].split()  # as Prefect's worker does
    for name in ("parallelism", "completions"):
        del job["spec"]["template"]["spec"][
            name
        ]  # see the writer: Prefect asks for them, Kubernetes does not know them
    for version in ("1.31", "1.37"):
        kubernetes_validate.validate(job, version, strict=True)
    assert job["metadata"]["generateName"] == "brave-cat-"


def test_a_deployment_may_take_two_gpus() -> None:
    job = rendered("gpu", gpus=2, memory_limit="96Gi")["job_manifest"]
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "96Gi", "nvidia.com/gpu": 2}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"gpus": 0}, TEMPLATES["gpu"]["variables"])


@pytest.mark.parametrize("pool", POOLS)
def test_without_a_command_prefect_says_what_to_run(pool: str) -> None:
    """Its worker fills in `args` only where the template leaves none: an empty text would start nothing."""
    container = rendered(pool)["job_manifest"]["spec"]["template"]["spec"]["containers"][0]
    assert "args" not in container
