"""What of our sources a key holds: read from a small tree of packages, never imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.engine.sources import SourceTree

STAGE = '''
"""A stage."""
from __future__ import annotations
from typing import TYPE_CHECKING
from domain.sections import PaintConfig
from domain import colors
from engine.stage import stage
if TYPE_CHECKING:
    from domain.unused import Nothing

@stage(pools=("cpu",))
def paint(config: PaintConfig, work: Nothing) -> int:
    """Paint."""
    from domain.brush import stroke
    return stroke(colors.mix(config.red))
'''
SECTIONS = """
from pydantic import Field
from domain.base import Section

class PaintConfig(Section):
    red: int = Field(3, ge=0, description="How red", json_schema_extra={"source": "own choice"})
    frame: FrameConfig | None = None

    @property
    def twice(self) -> int:
        return 2 * self.red

class FrameConfig(Section):
    width: int = 1

    def area(self):
        return self.width ** 2

class OtherConfig(Section):
    blue: int = 5
"""
BRUSH = '''
import numpy as np
from dataclasses import dataclass

WIDTH: int = 3
"""In px."""
LENGTH = 4

@dataclass
class Stroke:
    """One."""
    color: int

def stroke(color: int) -> Stroke:
    count: int = WIDTH
    return Stroke(np.int8(color * count))

def unused():
    import torch
'''
FILES = {
    "domain/__init__.py": "",
    "domain/sections.py": SECTIONS,
    "domain/base.py": "class Section:\n    pass\n",
    "domain/brush.py": BRUSH,
    "domain/colors.py": "from domain.shades import *\ndef mix(a):\n    return a\ndef never():\n    return 0\n",
    "domain/shades.py": "",
    "domain/unused.py": "class Nothing:\n    pass\n",
    "work/__init__.py": "",
    "work/paint.py": STAGE,
}


def reach(folder: Path, **changes: str) -> dict[str, str]:
    """The reach of the small tree after `changes` (path without its suffix => what is replaced => by what)."""
    for name, text in FILES.items():
        old, _, new = changes.get(name.removesuffix(".py").replace("/", "_"), "").partition(" => ")
        assert not old or old in text, old
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(old, new) if old else text)
    return tree(folder).reach("work.paint", "paint").definitions


def tree(folder: Path) -> SourceTree:
    return SourceTree({"work": folder / "work", "domain": folder / "domain"})


def test_what_is_reached_is_what_is_used(tmp_path: Path) -> None:
    found = {name for name, text in reach(tmp_path).items() if text}
    assert found == {
        "work.paint:paint",
        "domain.sections:PaintConfig()",
        "domain.sections:FrameConfig()",
        "domain.colors:mix",
        "domain.brush:stroke",
        "domain.brush:Stroke",
        "domain.brush:WIDTH",
    }
    assert tree(tmp_path).reach("work.paint", "paint").libraries == {"numpy", "dataclasses", "engine"} - {"engine"}


@pytest.mark.parametrize(
    "changes",
    [
        {"work_paint": '"""Paint.""" => """Paint it."""'},
        {"work_paint": "pools=('cpu',) => pools=('gpu',)".replace("'", '"')},
        {"work_paint": "work: Nothing) -> int => work: object) -> float"},
        {"domain_sections": "How red => How red it is"},
        {"domain_sections": "own choice => measured"},
        {"domain_sections": "ge=0 => ge=1"},
        {"domain_sections": "Field(3 => Field(4"},  # the value stands in the key by itself
        {"domain_sections": "blue: int = 5 => blue: int = 6"},
        {"domain_brush": '"""In px.""" => """In pixels."""'},
        {"domain_brush": "WIDTH: int => WIDTH: float"},
        {"domain_brush": "count: int => count: float"},
        {"domain_brush": "LENGTH = 4 => LENGTH = 5"},
        {"domain_brush": "import torch => import jax"},
        {"domain_brush": "return Stroke => # one\n    return Stroke"},
        {"domain_colors": "return 0 => return 1"},
        {"domain_unused": "pass => x = 1"},
    ],
)
def test_what_changes_no_result_changes_nothing(tmp_path: Path, changes: dict[str, str]) -> None:
    assert reach(tmp_path, **changes) == reach(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"work_paint": "config.red => config.red + 1"},
        {"domain_sections": "2 * self => 3 * self"},
        {"domain_sections": "** 2 => ** 3"},  # of a section within the section
        {"domain_brush": "WIDTH: int = 3 => WIDTH: int = 4"},
        {"domain_brush": "color: int\n => color: float\n"},  # in a class's body: behavior
        {"domain_brush": "@dataclass => @final"},
        {"domain_colors": "return a => return -a"},
        {"domain_colors": "from domain.shades => print()\nfrom domain.shades"},  # what an import does
    ],
)
def test_what_changes_a_result_changes_the_code(tmp_path: Path, changes: dict[str, str]) -> None:
    assert reach(tmp_path, **changes) != reach(tmp_path)


def test_a_module_used_as_a_whole_counts_whole(tmp_path: Path) -> None:
    asked = reach(tmp_path, work_paint="colors.mix(config.red) => use(colors)")
    assert {"domain.colors:mix", "domain.colors:never"} <= set(asked)


def test_a_name_that_only_a_run_would_find_brings_its_module(tmp_path: Path) -> None:
    asked = reach(tmp_path, work_paint="colors.mix => colors.pink")
    assert {"domain.colors:mix", "domain.colors:never"} <= set(asked)


def test_what_is_left_out_is_not_followed(tmp_path: Path) -> None:
    reach(tmp_path)
    found = tree(tmp_path).reach("work.paint", "paint", leave_out=("domain.brush",))
    assert not any(name.startswith("domain.brush") for name in found.definitions)
    assert "numpy" not in found.libraries


FOUND = [
    # a program that is started by its name
    ("START = ['python', '-m', 'domain.more']\ndef do(): return START", "def aim(): return 1"),
    # modules by chains of attributes, however they were imported
    ("from domain import deep\ndef do(): return deep.more.aim()", "def aim(): return 1"),
    ("import domain.deep.more\ndef do(): return domain.deep.more.aim()", "def aim(): return 1"),
    ("import domain.deep.more\nimport domain.base\ndef do(): return domain.deep.more.aim()", "def aim(): return 1"),
    ("import domain.deep as d\ndef do(): return d.more.aim()", "def aim(): return 1"),
    ("def do():\n    import domain.deep.more\n    return domain.deep.more.aim()", "def aim(): return 1"),
    # what a package hands on, and what a module that is used as a whole hands on
    ("import domain.deep as d\ndef do(): return d.again()", "def aim(): return 1"),
    ("import domain.deep as d\ndef do(): return vars(d)", "def aim(): return 1"),
    # relative to the package
    ("from .deep.more import aim\ndef do(): return aim()", "def aim(): return 1"),
    ("from .deep import more\ndef do(): return more.aim()", "def aim(): return 1"),
    # one name, two sources of it
    ("try:\n    from domain.more import aim\nexcept ImportError:\n    def aim(): ...\ndef do(): return aim()", "1"),
    ("try:\n    from domain.more import aim\nexcept ImportError:\n    aim = None\ndef do(): return aim()", "1"),
]
"""Module `domain.use`, and a part of what its `do` must be found to reach."""


@pytest.mark.parametrize(("text", "expected"), FOUND)
def test_every_way_to_a_definition_is_followed(text: str, expected: str, tmp_path: Path) -> None:
    aim = "def aim():\n    return 1\ndef other(): return 2\n"
    found = reach_of(
        tmp_path,
        {"use.py": text, "more.py": aim, "base.py": "", "deep/more.py": aim}
        | {"deep/__init__.py": "from domain.deep.more import aim as again\n"},
    )
    assert expected in " ".join(" ".join(found.values()).split())


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("if WIDE:\n    SIZE = 1\nWIDE = 2\ndef do(): return SIZE", "WIDE = 2 => WIDE = 3"),
        ("if 1 < 2:\n    SIZE = 1\ndef do(): return SIZE", "1 < 2 => 1 > 2"),
        ("try:\n    SIZE = 1\nexcept OSError:\n    SIZE = 2\ndef do(): return SIZE", "OSError => Exception"),
        ("with it() as SIZE:\n    pass\ndef do(): return SIZE", "it() => them()"),
        ("with it():\n    SIZE = 1\ndef do(): return SIZE", "SIZE = 1 => SIZE = 2"),
        ("for one in (1, 2):\n    SIZE = one\ndef do(): return SIZE", "(1, 2) => (1, 3)"),
        ("for one in (1, 2):\n    SIZE = one\ndef do(): return SIZE", "SIZE = one => SIZE = -one"),
        ("match 1:\n    case 1:\n        SIZE = 1\ndef do(): return SIZE", "SIZE = 1 => SIZE = 2"),
        ("X = [SIZE := 1, 2]\ndef do(): return SIZE", ":= 1 => := 2"),
        ("SIZE = {}\nSIZE['a'] = 1\ndef do(): return SIZE", "'] = 1 => '] = 2"),
        ("SIZE = []\n[SIZE.append(one) for one in (1, 2)]\ndef do(): return SIZE", "(1, 2) => (1, 3)"),
        ("SIZE = 1\nSIZE += 1\ndef do(): return SIZE", "+= 1 => += 2"),
        ("class A:\n    size = 1\nclass B(A): ...\ndef do(): return B()", "size = 1 => size = 2"),
        ("def wrap(f): return f\n@wrap\ndef do(): return 1", "return f => return None"),
        ("def size(): return 1\ndef do(it=size()): return it", "return 1 => return 2"),
    ],
)
def test_whatever_binds_a_name_counts(text: str, changed: str, tmp_path: Path) -> None:
    old, _, new = changed.partition(" => ")
    assert old in text
    before = reach_of(tmp_path, {"use.py": text})
    assert before != reach_of(tmp_path, {"use.py": text.replace(old, new)})


def test_a_section_counts_with_what_it_is_made_from(tmp_path: Path) -> None:
    base = (
        "class Base:\n    share: ClassVar[int] = 2\n    n: int = 1\n    def twice(self): return self.share * self.n\n"
    )
    use = "from domain.base import Base\nclass Own(Base):\n    m: int = 1\ndef do(config: Own): return config.twice()\n"
    before = reach_of(tmp_path, {"use.py": use, "base.py": base})
    assert before == reach_of(tmp_path, {"use.py": use.replace("m: int = 1", "m: int = 2"), "base.py": base})
    for old, new in (("share * ", "share + "), ("[int] = 2", "[int] = 3")):
        assert before != reach_of(tmp_path, {"use.py": use, "base.py": base.replace(old, new)})


def test_a_block_for_type_checkers_counts_for_nothing(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from domain.base import Base\ndef do(): return 1\n"
    assert reach_of(tmp_path, {"use.py": text}) == reach_of(tmp_path, {"use.py": "def do(): return 1\n"})


def test_a_circle_ends(tmp_path: Path) -> None:
    files = {
        "use.py": "from domain import more\ndef do(): return more.a, more.b\n",
        "more.py": "from domain.use import *\n",
    }
    assert reach_of(tmp_path, files)["domain.use:do"]


def reach_of(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """The reach of `domain.use:do` in a package of these files."""
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / "domain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SourceTree({"domain": folder / "domain"}).reach("domain.use", "do").definitions
