"""The one shell that every page stands in: Jinja2 templates, one style sheet, light and dark; no script, no request.

Decides that every value is escaped unless a module of this room made it as markup, and that a name which nobody gave is
an error instead of a gap in the page. What a page holds, and in which order, stands in its template.

Law: no text, however hostile, adds an element or an attribute.

    render_page("experiment.html", project="cells", ...)
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from edgewright.report.tables import FILTERS

_LOADER = PackageLoader("edgewright.report")


def render_page(template: str, **values: object) -> str:
    """The whole page as HTML, with the style sheet in it."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=_LOADER, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(FILTERS)
    environment.globals["style_sheet"] = Markup(_LOADER.get_source(environment, "page.css")[0])  # noqa: S704 - our own
    return environment
