"""HTML by functions. Decides one thing: whatever is not markup already is escaped.

Law: no text, however hostile, adds an element or an attribute.

>>> tag("p", "1 < 2", class_="note")
'<p class="note">1 &lt; 2</p>'
>>> tag("ul", [tag("li", "a"), tag("li", "b")])
'<ul><li>a</li><li>b</li></ul>'
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = frozenset({"img", "meta", "wbr"})
_SELF_CLOSED = frozenset({"line", "rect", "circle", "polyline"})


class Markup(str):
    """Text that is HTML by construction: only `tag` and `raw` make it."""

    __slots__ = ()


Child: TypeAlias = "str | Iterable[Child] | None"


def raw(html: str) -> Markup:
    """Trusted text of our own: the style sheet, the doctype."""
    return Markup(html)


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """An element. Attribute names lose a trailing `_` and turn `_` into `-`; None and False leave one out."""
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    if name in _SELF_CLOSED:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Markup:
    """Children side by side; plain text among them is escaped."""
    return Markup("".join(_flat(child) for child in children))


def _flat(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return str(child)
    return escape(child) if isinstance(child, str) else "".join(_flat(item) for item in child)


def _attribute(key: str, value: object) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
