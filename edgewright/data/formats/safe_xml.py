"""XML without surprises: a DOCTYPE is refused, so that no entity is ever defined, expanded or fetched.

Decides the encoding as the document declares it, also where expat knows no such encoding (GBK, Shift JIS), and reads on
where blank lines stand before the declaration.

>>> parse_xml(b"<a><b/></a>").tag
'a'
>>> first_tag("<?xml version='1.0' encoding='utf-16'?><a><b".encode("utf-16"))
'a'
"""

from __future__ import annotations

import codecs
import contextlib
import re
import xml.etree.ElementTree as ET
from xml.parsers import expat

from edgewright.data.formats.text import decode_text
from edgewright.data.sources import Unusable

_UNDECLARED = re.compile(r"^<\?xml[^>]*\?>")
_DECLARED = re.compile(rb"^<\?xml[^>]*encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"'][^>]*\?>")


def parse_xml(payload: bytes) -> ET.Element:
    """The document's root. Raises Unusable where it is not XML or has a DOCTYPE."""
    payload = _for_expat(payload)
    _refuse_doctype(payload)
    return ET.fromstring(payload)  # noqa: S314 - no DOCTYPE, so no entities


def first_tag(head: bytes) -> str:
    """The root's name, of a document's first bytes; empty where it has none."""
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, _: found.append(name)
    with contextlib.suppress(expat.ExpatError, ValueError, LookupError, Unusable):  # what came before it was read
        parser.Parse(_for_expat(head), False)
    return found[0] if found else ""


def _for_expat(payload: bytes) -> bytes:
    """Expat decodes UTF-8, UTF-16 and tables of single bytes; of the others Python makes UTF-8."""
    if payload.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return _UNDECLARED.sub("", decode_text(payload).lstrip()).encode()
    text = payload.lstrip(b" \t\r\n")
    declared = _DECLARED.match(text)
    if declared is None or _known_to_expat(declared[1].decode()):
        return text
    try:
        return text[declared.end() :].decode(declared[1].decode()).encode()
    except (UnicodeDecodeError, LookupError) as error:
        raise Unusable("not XML in the encoding that it declares", got=error) from error


def _known_to_expat(encoding: str) -> bool:
    """A code page of single bytes, or Unicode."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        return True  # expat says what is wrong
    return name.startswith(("utf", "ascii", "iso8859", "cp125", "cp437", "cp850", "koi8", "mac"))


def _refuse_doctype(payload: bytes) -> None:
    """Expat itself reads the document first, in whatever encoding, and stops at a DOCTYPE."""
    parser = expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise Unusable("a DOCTYPE, which could define entities, is not read")

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(payload, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Unusable("not XML", got=error) from error
