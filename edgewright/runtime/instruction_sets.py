"""Which of a release's INT8 files this processor computes rightly, from what it says of itself.

Decides by instructions: 8-bit products are added in 32 bits by VNNI and AMX on x86 and by Arm's dot product; for any
other processor, and for one that does not say, there is the file that is safe everywhere. Where processors of one
machine differ, what all of them have counts. Refuses nothing: every release has a file for every processor.

>>> choose_model(Processor("x86_64", frozenset({"avx2"})), {"model.onnx", "model-safe.onnx"})
Choice(file='model-safe.onnx', why='x86_64 without VNNI')
"""

from __future__ import annotations

import platform
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

MODEL_FILE, SAFE_MODEL_FILE = "model.onnx", "model-safe.onnx"
_CPUINFO = Path("/proc/cpuinfo")
_SUMS_IN_32_BITS = {
    # instruction set: flags in /proc/cpuinfo, how a person calls them
    "x86_64": (("avx512_vnni", "avx_vnni", "amx_int8"), "VNNI"),
    "aarch64": (("asimddp",), "the dot product"),
}
_SAME = {"amd64": "x86_64", "i686": "x86_64", "i386": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Processor:
    """Attributes:
    machine: instruction set, as `uname -m` says it.
    flags: of every core; empty where they are not known.
    """

    machine: str
    flags: frozenset[str]

    @classmethod
    def of(cls, cpuinfo: str, *, machine: str) -> Processor:
        """From the text of /proc/cpuinfo: `flags` on x86, `Features` on Arm."""
        lines = (line.partition(":") for line in cpuinfo.splitlines())
        cores = [frozenset(value.split()) for name, _, value in lines if name.strip().lower() in ("flags", "features")]
        return cls(
            _SAME.get(machine.lower(), machine.lower()), frozenset.intersection(*cores) if cores else frozenset()
        )


@dataclass(frozen=True)
class Choice:
    """A file of the release, and why this one."""

    file: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}: {self.why}"


def choose_model(processor: Processor, files: Collection[str]) -> Choice:
    """Pure."""
    if SAFE_MODEL_FILE not in files:
        return Choice(MODEL_FILE, "the release has one file")
    known, called = _SUMS_IN_32_BITS.get(processor.machine, ((), ""))
    has = [flag for flag in known if flag in processor.flags]
    if has:
        return Choice(MODEL_FILE, f"{processor.machine} with {has[0]}")
    if not known or not processor.flags:
        return Choice(SAFE_MODEL_FILE, f"{processor.machine or 'a processor'} of unknown instructions")
    return Choice(SAFE_MODEL_FILE, f"{processor.machine} without {called}")


def fast_int8(processor: Processor) -> str:
    """What adds this processor's 8-bit products in 32 bits, as a person calls it; "" where nothing does, or says so.

    >>> fast_int8(Processor("aarch64", frozenset({"asimddp"}))), fast_int8(Processor("x86_64", frozenset({"avx2"})))
    ('the dot product', '')
    """
    known, called = _SUMS_IN_32_BITS.get(processor.machine, ((), ""))
    return called if processor.flags & set(known) else ""


def this_processor() -> Processor:
    try:
        cpuinfo = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = ""
    return Processor.of(cpuinfo, machine=platform.machine())
