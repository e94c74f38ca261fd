"""What an ONNX file refers to, read from its bytes alone, before ONNX Runtime sees it.

Decides whether a model is one file. Refuses external data: ONNX Runtime, given bytes, looks for it in the current
folder (measured with 1.31), so that whoever can place a file beside the process chooses the weights.

>>> refuse_external_data(b"")
"""

from __future__ import annotations

from collections.abc import Iterator

from edgewright.errors import InputError

_TENSOR = "tensor"
_CHILDREN: dict[str, dict[int, str]] = {
    # message     field number -> message in it (onnx.proto3, IR version 13)
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of TensorProto
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types
_MAX_DEPTH = 64


def refuse_external_data(payload: bytes, *, where: object = None) -> None:
    """Raises InputError where a tensor lies outside the file, or the bytes are no protobuf message."""
    try:
        external = _has_external(memoryview(payload), "model", depth=0)
    except (IndexError, ValueError) as error:
        raise InputError("not an ONNX file", got=error, where=where) from error
    if external:
        raise InputError("a model with external data", expected="one ONNX file", got="weights elsewhere", where=where)


def _has_external(payload: memoryview, message: str, *, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    for number, value in _fields(payload):
        if message == _TENSOR and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
            return True
        child = _CHILDREN[message].get(number)
        if child and isinstance(value, memoryview) and _has_external(value, child, depth=depth + 1):
            return True
    return False


def _fields(payload: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, varint or bytes); fixed-width fields are skipped."""
    position = 0
    while position < len(payload):
        tag, position = _varint(payload, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(payload, position)
            yield number, value
            continue
        if wire == _LENGTH:
            length, position = _varint(payload, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if position + length > len(payload):
            raise ValueError("cut short")
        if wire == _LENGTH:
            yield number, payload[position : position + length]
        position += length


def _varint(payload: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = payload[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("varint longer than 10 bytes")
