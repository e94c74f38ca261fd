"""Where the files of infra/ are, and what is read from them by more than one test."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
CONTAINERS = INFRA / "containers"
SYSTEMD = INFRA / "systemd"
CONTAINERFILE = (CONTAINERS / "Containerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
TARGETS = {"control", "edge", "cpu", "gpu", "launcher", "device"}
PINNED = {"postgres:17.6-bookworm", "versity/versitygw:v1.8.0", "nginxinc/nginx-unprivileged:1.28-alpine"}
"""Images of others: what each is, and why that one, is on docs/infra.md."""
PROGRAMS = Path(sysconfig.get_path("scripts"))


def stages() -> dict[str, str]:
    """Stage → its instructions, comments and line continuations taken out."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", CONTAINERFILE, flags=re.MULTILINE))
    parts = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    return {part.splitlines()[0].split(" AS ")[1]: part for part in parts}


def inherited(stage: str) -> str:
    """The instructions of a stage below those of the stages it is made from."""
    found = stages()
    parent = found[stage].splitlines()[0].split()[0]
    return (inherited(parent) if parent in found else "") + found[stage]


def last_of(stage: str, instruction: str) -> str:
    """What the last such instruction says, which is the one in force; "" where there is none."""
    said = re.findall(rf"^{instruction} (.*)$", inherited(stage), re.MULTILINE)
    return str(said[-1]) if said else ""
