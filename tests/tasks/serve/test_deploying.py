"""Work pools by a real server: each with its limit, and what a person has changed since stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkPool
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.variables import Variable

from edgewright.errors import InputError
from tasks.engine.stage import POOLS
from tasks.serve import deploying
from tasks.serve.deploying import deploy, make_pools, places_of, set_places


def read(pool: str) -> WorkPool:
    with get_client(sync_client=True) as client:
        return client.read_work_pool(pool)


def test_a_pool_keeps_its_limit_until_a_home_sets_its_own(prefect_api: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        assert make_pools({"deployed": 2}) == ["deployed"]
        assert make_pools({"deployed": 3}) == []
        assert (read("deployed").concurrency_limit, read("deployed").type) == (2, "process")
        set_places({"deployed": 4})
        assert read("deployed").concurrency_limit == 4


def test_pools_of_jobs_have_the_templates_of_a_folder(prefect_api: str, tmp_path: Path) -> None:
    template = json.loads((Path("infra/kubernetes/work_pools") / "gpu.json").read_bytes())
    (tmp_path / "jobs.json").write_text(json.dumps(template))
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        assert make_pools({"jobs": 1}, templates=tmp_path) == ["jobs"]
        assert (read("jobs").type, read("jobs").base_job_template) == ("kubernetes", template)


def test_deployed_again_nothing_is_undone(prefect_api: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person has switched a schedule on: it stays on, also where a newer file is deployed. Of two of the deployments;
    tests/slow/test_stack.py has all of them."""
    shipped = yaml.safe_load(deploying.FILE.read_bytes())
    two = [one for one in shipped["deployments"] if one["name"] in ("demo", "laptop")]
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({**shipped, "deployments": two}))
    monkeypatch.setattr(deploying, "FILE", tmp_path / "prefect.yaml")
    with temporary_settings({PREFECT_API_URL: prefect_api}), get_client(sync_client=True) as client:
        make_pools(places_of([]))
        assert deploy(PREFECT_API_URL=prefect_api)
        assert not deploy(PREFECT_API_URL=prefect_api)
        laptop = client.read_deployment_by_name("lifecycle/laptop")
        assert [one.active for one in laptop.schedules] == [False]
        client.update_deployment_schedule(laptop.id, laptop.schedules[0].id, active=True)
        Variable.set("edgewright_deployed", "an older file", overwrite=True)
        assert deploy(PREFECT_API_URL=prefect_api)
        again = client.read_deployment_by_name("lifecycle/laptop")
        assert (again.id, [one.active for one in again.schedules]) == (laptop.id, [True])
        client.delete_deployment(again.id)
        assert deploy(PREFECT_API_URL=prefect_api), "one is missing"


def test_every_pool_has_a_place() -> None:
    assert set(places_of([])) == set(POOLS)
    assert places_of([])["control"] is None
    assert {places_of([])[pool] for pool in POOLS if pool != "control"} == {1}
    assert places_of(["cpu=4", "gpu=2"])["cpu"] == 4


@pytest.mark.parametrize("word", ["tpu=1", "cpu", "cpu=0", "cpu=many", "=1"])
def test_what_are_no_places_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="not the places of a pool"):
        places_of([word])
