"""What the site adds to the pages of this folder: README, CHANGELOG, a list of the decisions. A hook of mkdocs.yml.

Decides where a link of the repository leads on the site: to the page made of its target; a file that the site does not
have becomes plain text. Leaves what leads nowhere as it is, so that a strict build refuses it.

>>> linked("See [commands](docs/commands.md#run), [CI](.ci/run), [none](docs/none.md).", page="README.md")
'See [commands](commands.md#run), CI, [none](docs/none.md).'
>>> linked("[0009](0009-keys-by-definition.md), [what changed](../../CHANGELOG.md)", page="docs/adr/0001.md")
'[0009](0009-keys-by-definition.md), [what changed](../changelog.md)'
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
ADDED = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "docs/adr": "adr/index.md"}
"""Path in the repository => page of the site. Every other page is the file of its name in docs/."""
_LINK = re.compile(r"(?<!!)\[([^\[\]]+)\]\(([^()\s#]+)(#[^()\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The decisions enter the navigation by themselves, before the log."""
    decisions = [path.relative_to(ROOT / "docs").as_posix() for path in _decisions()]
    for part in config.nav or []:
        if isinstance(part, dict) and "Why" in part:
            part["Why"].insert(0, {"Decisions": ["adr/index.md", *decisions]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages that lie elsewhere, or nowhere."""
    for path, name in ADDED.items():
        content = _list_of_decisions() if (ROOT / path).is_dir() else (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """mkdocs calls this with every page."""
    there = {name: path for path, name in ADDED.items()}
    name = page.file.src_uri
    return markdown if name == ADDED["docs/adr"] else linked(markdown, page=there.get(name, f"docs/{name}"))


def linked(markdown: str, *, page: str) -> str:
    """A page's text with links that hold on the site.

    Args:
        page: its path in the repository.
    """
    here = ADDED.get(page, page.removeprefix("docs/"))

    def lead(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        if "://" in target or not (ROOT / path).exists():
            return link[0]
        if path not in ADDED and not path.startswith("docs/"):
            return text
        name = posixpath.relpath(ADDED.get(path, path.removeprefix("docs/")), posixpath.dirname(here) or ".")
        return f"[{text}]({name}{anchor})"

    pictures = markdown.replace("](docs/img/", "](img/") if here == "index.md" else markdown
    return _LINK.sub(lead, pictures)


def _decisions() -> list[Path]:
    return sorted((ROOT / "docs/adr").glob("[0-9]*.md"))


def _list_of_decisions() -> str:
    titles = {path.name: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in _decisions()}
    return "# Decisions\n\n" + "".join(f"- [{title}]({name})\n" for name, title in titles.items())
