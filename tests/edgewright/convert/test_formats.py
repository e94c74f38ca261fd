from __future__ import annotations

import pytest

from edgewright.convert import formats
from edgewright.convert.formats import OWN, Format, format_named, require_known
from edgewright.errors import InputError, MissingExtra


def test_an_unknown_format_is_refused_with_those_that_are_known() -> None:
    require_known(["onnx", "ncnn", "litert"])  # the last is ultralytics'
    with pytest.raises(InputError, match=r"openvino.*litert.*got onyx"):
        require_known(["ncnn", "onyx"])


def test_what_is_not_ours_to_write_has_no_entry() -> None:
    assert format_named("litert") is None
    assert format_named("mnn") in OWN


def test_a_converter_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "OWN", (Format("odd", "odd.bin", "no_such_converter", "odd"),))
    with pytest.raises(MissingExtra, match="no_such_converter"):
        format_named("odd")
