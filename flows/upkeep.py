"""What a home needs from time to time, as flows that a schedule starts: fresh release metadata, and room on the disk.

Both do what their commands do (`edgewright release renew`, `edgewright gc`), on the machine whose worker runs them.
"""

from __future__ import annotations

from prefect import flow

from tasks.serve.upkeep import free_space, renew_releases


@flow(name="renew-metadata", persist_result=False)
def renew_metadata() -> list[str]:
    """Sign again what is half expired of every project's release metadata, where the keys are on this machine."""
    return renew_releases()


@flow(name="gc", persist_result=False)
def collect_garbage(keep: int = 5, remove: bool = False) -> str:
    """Say, or remove, what neither the newest runs nor a model nor a release needs.

    Args:
        keep: how many of the newest runs stay whole.
        remove: remove it; else it is only said.
    """
    return free_space(keep=keep, remove=remove)
