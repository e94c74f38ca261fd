"""Write prefect.yaml from the flows and stages: `python -m deployments.write_prefect_yaml`. Decides nothing."""

from __future__ import annotations

from typing import Any

import yaml

from deployments.entries import FILE, entries

_HEAD = """\
# What is deployed: each stage on each of its pools, and the life cycle, a deployment a preset.
# Written by deployments/write_prefect_yaml.py from flows and stages; do not edit it.
"""


class _Plain(yaml.SafeDumper):
    """Values are written out: Prefect's reader takes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def text() -> str:
    """The whole file."""
    document = {"name": "edgewright", "pull": [], "deployments": entries()}  # an installed package: nothing to fetch
    return _HEAD + yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
