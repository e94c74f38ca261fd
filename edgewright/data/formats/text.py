"""Bytes of a label file as text: UTF-8, and UTF-16 or UTF-32 as Windows tools write them.

Decides by the byte order mark; without one it is UTF-8, or UTF-16 where of every second byte most are zero.
Refuses what is none of these: a wrong letter in a class name would be another class.

>>> decode_text("0 0.5".encode("utf-16"))
'0 0.5'
"""

from __future__ import annotations

import codecs
import re

from edgewright.data.sources import Unusable

_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MIN_ZERO_SHARE = 0.5
"""Of every second byte: numbers and names of JSON keys are plain text, names of classes need not be."""
_LOOKED_AT = 4096
_LINE_END = re.compile(r"\r\n|\r|\n")


def decode_text(payload: bytes) -> str:
    """Raises Unusable where the bytes are not text."""
    try:
        text = payload.decode(_encoding(payload))
    except UnicodeDecodeError as error:
        raise Unusable("not a text file in UTF-8 or UTF-16", got=error) from error
    if "\0" in text:
        raise Unusable("not a text file: it holds zero bytes")
    return text


def text_lines(payload: bytes) -> list[str]:
    """Lines without their ends, whichever of the three they have. Raises Unusable where the bytes are not text."""
    return _LINE_END.split(decode_text(payload))


def _encoding(payload: bytes) -> str:
    for mark, encoding in _MARKS:
        if payload.startswith(mark):
            return encoding
    first, second = (payload[at:_LOOKED_AT:2] for at in (0, 1))
    if all(first) and second.count(0) > MIN_ZERO_SHARE * len(second):
        return "utf-16-le"
    return "utf-16-be" if all(second) and first.count(0) > MIN_ZERO_SHARE * len(first) else "utf-8"
