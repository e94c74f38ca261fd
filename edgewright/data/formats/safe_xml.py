"""XML without surprises: a DOCTYPE is refused, so that no entity is ever defined, expanded or fetched.

>>> parse_xml(b"<a><b/></a>").tag
'a'
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from xml.parsers import expat

from edgewright.data.sources import Unusable


def parse_xml(payload: bytes) -> ET.Element:
    """The document's root. Raises Unusable where it is not XML or has a DOCTYPE."""
    _refuse_doctype(payload)
    return ET.fromstring(payload)  # noqa: S314 - no DOCTYPE, so no entities


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
