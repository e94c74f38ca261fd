#!/usr/bin/env python3
"""Whether the device in DEVICE_HOME does its work: exit code 0, else 1 and why not.

device-ready        # a release is installed and no longer on trial; with MODEL_VERSION: that one, or a newer one

On trial means: no frame yet since the switch. A probe on it stops a rollout at devices that do not detect.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def why_not(state: dict[str, Any], *, wanted: int) -> str:
    """Empty where it is ready.

    >>> why_not({"slot": "a", "release": 3, "on_trial": False}, wanted=4)
    'release 3 runs, expected 4 or newer'
    """
    if not state["slot"]:
        return "no release is installed"
    if state["on_trial"]:
        return f"release {state['release']} is on trial"
    if state["release"] < wanted:
        return f"release {state['release']} runs, expected {wanted} or newer"
    return ""


def main() -> int:
    command = ["edgewright-device", "status", "--home", os.environ["DEVICE_HOME"], "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr.strip(), file=sys.stderr)
        return 1
    reason = why_not(json.loads(done.stdout), wanted=int(os.environ.get("MODEL_VERSION") or 0))
    print(reason or "ready", file=sys.stderr)
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
