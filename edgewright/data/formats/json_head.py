"""Which keys a JSON file begins with, without reading it to its end: labels of a whole data set can be gigabytes.

Decides by the keys of the outermost object, or of the first object of the outermost list, in the file's first bytes.

>>> sorted(top_keys(b'{"info": {"year": 2026}, "images": [{"id": 1')[1])
['images', 'info']
"""

from __future__ import annotations

import re

from edgewright.data.formats.text import decode_text
from edgewright.data.sources import Source, Unusable

HEAD_BYTES = 16_384
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"\s*(:?)|[\[\]{}]')


def json_head(source: Source, file: str) -> tuple[str, frozenset[str]]:
    """`{` or `[` and the keys that the head of a file shows; empty for what is not JSON."""
    return top_keys(source.head(file, max_bytes=HEAD_BYTES))


def top_keys(head: bytes) -> tuple[str, frozenset[str]]:
    """The bracket that JSON begins with, and the keys behind it as far as the bytes go."""
    try:
        text = decode_text(head)
    except Unusable:
        text = head.decode("utf-8", "ignore")  # the head ends within a letter
    text = text.lstrip("\ufeff \t\r\n")
    opened = text[:1]
    if opened not in ("{", "["):
        return "", frozenset()
    keys: set[str] = set()
    depth, wanted = 0, 1 if opened == "{" else 2
    for token in _TOKEN.finditer(text):
        mark = token[0][0]
        depth += (mark in "[{") - (mark in "]}")
        if token[1] and depth == wanted:
            keys.add(token[0].rstrip(": \t\r\n")[1:-1])
        if depth < wanted and wanted == 2 and keys:
            break  # the first object of a list is enough
    return opened, frozenset(keys)
