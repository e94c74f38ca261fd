from __future__ import annotations

import json
from pathlib import Path

from edgewright.artifacts import Content, LocalStore, Record
from edgewright.compress.files import FPGA_FILE, INT8_FILE
from edgewright.gates.model_gate import MEASURED_FILE
from edgewright.report.gather import Gathered


def test_a_file_in_an_fpgas_numbers_is_a_row_that_decides_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    found = {"map50": 0.6, "map50_95": 0.4}
    measured = {
        "files": {INT8_FILE: {"bytes": 900, "forms": {"as written": {**found, "decides": True}}}},
        "fpga": {"bytes": 1200, "run_by": "emulation", "map50": 0.55, "map50_95": 0.35},
    }
    with store.workspace() as work:
        (work / MEASURED_FILE).write_text(json.dumps(measured))
        ref = store.publish(work, Content(kind="measured", stage="gate_model"), Record())
    rows = Gathered(store, {}, {"gate_model": ref}).files()
    assert [(row.file, row.form, row.decides) for row in rows] == [
        (INT8_FILE, "as written", True),
        (FPGA_FILE, "in an FPGA's numbers, by emulation", False),
    ]
