"""Work pools by a real server: each with its limit, and what a person has changed since stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkPool
from prefect.settings import PREFECT_API_URL, temporary_settings

from edgewright.errors import InputError
from tasks.engine.stage import POOLS
from tasks.serve.deploying import make_pools, places_of, set_places


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


def test_every_pool_has_a_place() -> None:
    assert set(places_of([])) == set(POOLS)
    assert min(places_of([]).values()) == 1
    assert places_of(["cpu=4", "gpu=2"])["cpu"] == 4


@pytest.mark.parametrize("word", ["tpu=1", "cpu", "cpu=0", "cpu=many", "=1"])
def test_what_are_no_places_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="not the places of a pool"):
        places_of([word])
