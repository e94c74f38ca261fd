"""A dry run costs no training stack and no server; what a plan says is tested with the stages (`test_stage.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "torchvision", "ultralytics", "cv2", "onnx", "mlflow")


def test_a_dry_run_loads_nothing_heavy_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import json, sys\nfrom edgewright.cli import main\n"
        "try: main(['run', 'demo', '--dry-run', '--json'])\n"
        "except SystemExit as ended: print(json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)"
    )
    environment = {**os.environ, "EDGEWRIGHT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, check=True)
    exit_code, loaded = json.loads(done.stderr.splitlines()[-1])
    assert exit_code == 0
    assert set(HEAVY) & set(loaded) == set()
    assert [row["state"] for row in json.loads(done.stdout)["stages"]] == ["to run"] * 12
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []
