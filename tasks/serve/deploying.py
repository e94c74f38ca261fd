"""Work pools and all of `deployments/prefect.yaml`, brought to a Prefect server.

Decides that every pool but `control` has a limit: as many places as were named, else one, so that no two stages share a
device that nobody counted. In `control` runs and a stage of theirs meet: with a limit they could wait for each other.
Again changes nothing: the limit and the template of a pool that is there may be a person's by now. A home that is up
sets those of its own machine (`set_places`). Refuses a pool that no stage knows.

    python -m tasks.serve.deploying                                # pools whose runs are processes of their worker
    python -m tasks.serve.deploying gpu=2 cpu=8                    # with so many places
    python -m tasks.serve.deploying --jobs work_pools/ gpu=2       # runs are Kubernetes Jobs, by the templates there
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectAlreadyExists
from prefect.variables import Variable

from edgewright.artifacts import sha256_bytes
from edgewright.errors import InputError, StageFailed
from tasks.engine.stage import POOLS
from tasks.serve.workers import CONTROL

FILE = Path(str(files("deployments").joinpath("prefect.yaml")))
_DEPLOYED = "edgewright_deployed"
"""Prefect's variable that says from what file the server has them."""
_WITHIN_S, _PAGE = 300.0, 200
Places = Mapping[str, int | None]
"""Pool → how many flow runs it takes at once; None: any number."""


def make_pools(places: Places, *, templates: Path | None = None) -> list[str]:
    """The pools that were not there, each with so many places; Kubernetes Jobs where `templates` holds `POOL.json`."""
    made = []
    with get_client(sync_client=True) as client:
        for pool, limit in places.items():
            template = json.loads((templates / f"{pool}.json").read_bytes()) if templates else {}
            kind = "kubernetes" if templates else "process"
            wanted = WorkPoolCreate(name=pool, type=kind, concurrency_limit=limit, base_job_template=template)
            try:
                client.create_work_pool(wanted)
                made.append(pool)
            except ObjectAlreadyExists:
                continue
    return made


def set_places(places: Places) -> None:
    with get_client(sync_client=True) as client:
        for pool, limit in places.items():
            client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=limit))


def deploy(**environment: str) -> bool:
    """Everything in `deployments/prefect.yaml`; nothing where the server has all of it from a file like this one.

    So what a person has changed since stays; a schedule that was switched on or off stays so in any case.

    Returns:
        Whether anything was deployed.

    Raises:
        StageFailed: Prefect's command failed.
    """
    mine = sha256_bytes(FILE.read_bytes())[:16]
    wanted = Counter(str(one["name"]) for one in yaml.safe_load(FILE.read_bytes())["deployments"])
    with get_client(sync_client=True) as client:
        before = list(_deployments(client))
        known = client.read_variable_by_name(_DEPLOYED)
        if known and known.value == mine and wanted <= Counter(one.name for one in before):
            return False
        switched = {(one.id, each.slug): each.active for one in before for each in one.schedules}
        _deploy_all(environment)
        for one in _deployments(client):
            for each in one.schedules:
                was = switched.get((one.id, each.slug), each.active)
                if was != each.active:
                    client.update_deployment_schedule(one.id, each.id, active=was)
    Variable.set(_DEPLOYED, mine, overwrite=True)
    return True


def shipped_lifecycles() -> set[str]:
    """The names of our own deployments of the life cycle."""
    deployments = yaml.safe_load(FILE.read_bytes())["deployments"]
    return {str(one["name"]) for one in deployments if one["entrypoint"].startswith("flows.lifecycle:")}


def _deployments(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    """Every one of the server's."""
    for offset in itertools.count(step=_PAGE):
        page = client.read_deployments(limit=_PAGE, offset=offset)
        yield from page
        if len(page) < _PAGE:
            return


def _deploy_all(environment: Mapping[str, str]) -> None:
    """By Prefect's own command. Raises StageFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(FILE)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise StageFailed("the deployments were not taken", got=(done.stderr or done.stdout)[-500:], where=FILE)


def places_of(words: list[str]) -> dict[str, int | None]:
    """`POOL=PLACES`, over one place in each pool and any number in control.

    >>> places_of(["gpu=2"])
    {'control': None, 'cpu': 1, 'gpu': 2, 'fpga': 1, 'edge': 1}
    """
    places: dict[str, int | None] = {pool: None if pool == CONTROL else 1 for pool in POOLS}
    for word in words:
        pool, _, number = word.partition("=")
        if pool not in places or not number.isdecimal() or int(number) < 1:
            raise InputError("not the places of a pool", expected=f"POOL=PLACES, of {', '.join(POOLS)}", got=word)
        places[pool] = int(number)
    return places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=Path, metavar="FOLDER", help="base job templates of Kubernetes work pools")
    parser.add_argument("places", nargs="*", metavar="POOL=PLACES")
    asked = parser.parse_args()
    for pool in make_pools(places_of(asked.places), templates=asked.jobs):
        sys.stdout.write(f"work pool {pool}\n")
    deploy()
    sys.stdout.write("every deployment is there\n")


if __name__ == "__main__":
    main()
