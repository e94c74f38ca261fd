"""Work pools and all of `deployments/prefect.yaml`, brought to a Prefect server.

Decides that every pool has a limit: as many places as were named, else one, so that no two stages share a device that
nobody counted. Again changes nothing: the limit and the template of a pool that is there may be a person's by now. A
home that is up sets those of its own machine (`set_places`). Refuses a pool that no stage knows.

    python -m tasks.serve.deploying                                # pools whose runs are processes of their worker
    python -m tasks.serve.deploying gpu=2 cpu=8                    # with so many places
    python -m tasks.serve.deploying --jobs work_pools/ gpu=2       # runs are Kubernetes Jobs, by the templates there
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists

from edgewright.errors import InputError, StageFailed
from tasks.engine.stage import POOLS

_WITHIN_S = 300.0
CONTROL_PLACES = 8
"""Of flows that wait for their stages, and compute nothing."""


def make_pools(places: Mapping[str, int], *, templates: Path | None = None) -> list[str]:
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


def set_places(places: Mapping[str, int]) -> None:
    with get_client(sync_client=True) as client:
        for pool, limit in places.items():
            client.update_work_pool(pool, WorkPoolUpdate(concurrency_limit=limit))


def deploy(**environment: str) -> None:
    """Everything in `deployments/prefect.yaml`, by Prefect's own command. Raises StageFailed."""
    named = str(files("deployments").joinpath("prefect.yaml"))
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", named],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    if done.returncode:
        raise StageFailed("the deployments were not taken", got=(done.stderr or done.stdout)[-500:], where=named)


def places_of(words: list[str]) -> dict[str, int]:
    """`POOL=PLACES`, over one place in each pool and eight in control.

    >>> places_of(["gpu=2"])
    {'control': 8, 'cpu': 1, 'gpu': 2, 'fpga': 1, 'edge': 1}
    """
    places = {pool: CONTROL_PLACES if pool == "control" else 1 for pool in POOLS}
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
