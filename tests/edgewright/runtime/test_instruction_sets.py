"""Which file a processor gets, by what /proc/cpuinfo says of it."""

from __future__ import annotations

import pytest

from edgewright.runtime.instruction_sets import (
    MODEL_FILE,
    SAFE_MODEL_FILE,
    Choice,
    Processor,
    choose_model,
    this_processor,
)

BOTH = (MODEL_FILE, SAFE_MODEL_FILE)
HASWELL = "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5-4590\nflags\t\t: fpu sse4_2 avx avx2 bmi2\n\n"
ICE_LAKE = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n\nprocessor\t: 1\nflags\t\t: avx2 avx512_vnni\n"
ALDER_LAKE = "flags\t\t: avx2 avx_vnni\n"
SAPPHIRE_RAPIDS = "flags\t\t: avx2 amx_int8\n"
MIXED = "processor\t: 0\nflags\t\t: avx2 avx_vnni\n\nprocessor\t: 1\nflags\t\t: avx2\n"
CORTEX_A76 = "processor\t: 0\nFeatures\t: fp asimd crc32 atomics asimddp\n"
CORTEX_A72 = "processor\t: 0\nFeatures\t: fp asimd crc32\n"
BIG_LITTLE = "processor\t: 0\nFeatures\t: fp asimd\n\nprocessor\t: 1\nFeatures\t: fp asimd asimddp\n"


@pytest.mark.parametrize(
    ("cpuinfo", "machine", "expected"),
    [
        (HASWELL, "x86_64", Choice(SAFE_MODEL_FILE, "x86_64 without VNNI")),
        (ICE_LAKE, "x86_64", Choice(MODEL_FILE, "x86_64 with avx512_vnni")),
        (ALDER_LAKE, "AMD64", Choice(MODEL_FILE, "x86_64 with avx_vnni")),
        (SAPPHIRE_RAPIDS, "x86_64", Choice(MODEL_FILE, "x86_64 with amx_int8")),
        (MIXED, "x86_64", Choice(SAFE_MODEL_FILE, "x86_64 without VNNI")),  # what one core lacks, none has
        (CORTEX_A76, "aarch64", Choice(MODEL_FILE, "aarch64 with asimddp")),
        (CORTEX_A72, "aarch64", Choice(SAFE_MODEL_FILE, "aarch64 without the dot product")),
        (BIG_LITTLE, "arm64", Choice(SAFE_MODEL_FILE, "aarch64 without the dot product")),
        (ICE_LAKE, "aarch64", Choice(SAFE_MODEL_FILE, "aarch64 without the dot product")),  # another's flag
        ("", "x86_64", Choice(SAFE_MODEL_FILE, "x86_64 of unknown instructions")),
        ("flags\t:\n", "x86_64", Choice(SAFE_MODEL_FILE, "x86_64 of unknown instructions")),
        ("\x00 no lines of this kind", "riscv64", Choice(SAFE_MODEL_FILE, "riscv64 of unknown instructions")),
        ("", "", Choice(SAFE_MODEL_FILE, "a processor of unknown instructions")),
    ],
)
def test_the_file_for_a_processor(cpuinfo: str, machine: str, expected: Choice) -> None:
    assert choose_model(Processor.of(cpuinfo, machine=machine), BOTH) == expected


def test_a_release_with_one_file_has_no_choice() -> None:
    assert choose_model(Processor.of(HASWELL, machine="x86_64"), {MODEL_FILE}).file == MODEL_FILE


def test_this_machine_has_a_file() -> None:
    assert choose_model(this_processor(), BOTH).file in BOTH
