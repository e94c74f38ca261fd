#!/usr/bin/env python3
"""Bring the work pools and every deployment to the Prefect server that PREFECT_API_URL names. Again changes nothing.

deploy-stages                             # pools whose runs are processes of their worker
deploy-stages kubernetes /work-pools      # pools whose runs are Jobs, made with the templates in that folder

Refuses to change a pool that is there: its limit and its template may be a person's by now.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

from tasks.engine.stage import POOLS


async def make_pools(kind: str, templates: Path | None) -> None:
    async with get_client() as client:
        for name in POOLS:
            template = await _template(kind, templates and templates / f"{name}.json")
            try:
                await client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
            except ObjectAlreadyExists:
                continue
            print(f"work pool {name}, {kind}", flush=True)


async def _template(kind: str, path: Path | None) -> dict[str, Any]:
    if path:
        return dict(json.loads(path.read_text()))
    return dict(await get_default_base_job_template_for_infrastructure_type(kind) or {})


def main(kind: str = "process", templates: str = "") -> None:
    asyncio.run(make_pools(kind, Path(templates) if templates else None))
    stages = str(files("deployments").joinpath("prefect.yaml"))
    os.execvp("prefect", ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", stages])


if __name__ == "__main__":
    main(*sys.argv[1:])
