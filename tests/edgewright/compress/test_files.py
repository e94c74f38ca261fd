from __future__ import annotations

from edgewright.compress.files import FLOAT_FILE, INT8_FILE, SAFE_FILE, file_for_this_machine
from edgewright.runtime.instruction_sets import choose_model, this_processor


def test_the_file_for_this_machine_is_the_devices_choice() -> None:
    chosen = file_for_this_machine([FLOAT_FILE, INT8_FILE, SAFE_FILE])
    assert chosen == choose_model(this_processor(), (INT8_FILE, SAFE_FILE)).file


def test_a_model_with_one_file_has_it_for_every_machine() -> None:
    assert file_for_this_machine([FLOAT_FILE, INT8_FILE]) == INT8_FILE
