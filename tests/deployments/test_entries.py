"""What is deployed: the file says what flows and stages say, pools are equal everywhere, forms hold what they show."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema

from deployments.entries import CONTROL, FILE, LIFECYCLE, entries
from deployments.write_prefect_yaml import text
from edgewright.recipe import PRESET_NAMES, Recipe, resolve
from flows import label_efficiency
from flows.lifecycle import STAGES
from tasks.engine.stage import POOLS
from tasks.serve.stack import Stack

ENTRIES = entries()


def named(entry: dict[str, Any]) -> str:
    return f"{entry['entrypoint']} {entry['name']}"


def flow_of(entry: dict[str, Any]) -> Flow[..., Any]:
    module, _, path = entry["entrypoint"].partition(":")
    found = getattr(import_module(module), path.removesuffix(".flow"))
    flow = found.flow if path.endswith(".flow") else found
    assert isinstance(flow, Flow)
    return flow


def test_the_file_is_what_the_script_writes() -> None:
    assert FILE.read_text() == text(), "python -m deployments.write_prefect_yaml"


def test_pools_are_the_same_everywhere() -> None:
    declared = {pool for stage in (*STAGES, *label_efficiency.STAGES) for pool in stage.pools}
    deployed = {entry["work_pool"]["name"] for entry in yaml.safe_load(FILE.read_text())["deployments"]}
    assert set(POOLS) == declared | {CONTROL} == deployed == set(Stack().pools)


def test_every_stage_is_deployed_once_on_each_of_its_pools() -> None:
    declared = sorted((stage.name, pool) for stage in STAGES for pool in stage.pools)
    deployed = [(flow_of(entry).name, entry["name"]) for entry in ENTRIES if entry["entrypoint"].endswith(".flow")]
    assert sorted(deployed) == declared


@pytest.mark.parametrize("entry", ENTRIES, ids=named)
def test_an_entry_is_one_that_a_worker_can_run(entry: dict[str, Any]) -> None:
    """Its flow exists, takes what the entry gives it, and its tag names the pool where it waits."""
    known = parameter_schema(flow_of(entry).fn).properties
    assert set(entry.get("parameters", {})) <= set(known)
    assert f"pool:{entry['work_pool']['name']}" in entry["tags"]
    for schedule in entry.get("schedules", ()):
        assert ZoneInfo(schedule["timezone"])


def test_every_preset_is_a_form_with_its_values() -> None:
    found = {entry["name"]: entry for entry in ENTRIES if entry["entrypoint"] == LIFECYCLE}
    assert set(found) == {*PRESET_NAMES, "retrain"}
    for preset in PRESET_NAMES:
        assert Recipe.model_validate(found[preset]["parameters"]["recipe"]) == resolve(preset)


def test_what_costs_money_is_off_until_it_is_switched_on() -> None:
    scheduled = {named(entry): entry["schedules"][0]["active"] for entry in ENTRIES if "schedules" in entry}
    assert {name for name, active in scheduled.items() if active} == {"flows.upkeep:renew_metadata daily"}
    assert len(scheduled) == len(PRESET_NAMES) + 4


def test_parents_never_wait_in_the_pool_of_their_children() -> None:
    stages = {entry["work_pool"]["name"] for entry in ENTRIES if entry["entrypoint"].endswith(".flow")}
    parents = {entry["work_pool"]["name"] for entry in ENTRIES if entry["entrypoint"] == LIFECYCLE}
    assert parents == {CONTROL}
    assert stages - {CONTROL}
