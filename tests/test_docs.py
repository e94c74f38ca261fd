"""Contracts of the documents: they name what exists, and nothing of the machine that wrote them."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from mkdocs.commands.build import build
from mkdocs.config import load_config
from packaging.requirements import Requirement
from packaging.version import Version

from edgewright import settings
from edgewright.cli import frame
from edgewright.device import cli as device_cli
from edgewright.recipe import PRESET_NAMES, Recipe
from flows.lifecycle import STAGES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "docs/commands.md").read_text()
SETTINGS = (ROOT / "docs/settings.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COMMAND_NAMES = sorted(typer.main.get_command(frame._application()).commands)  # type: ignore[attr-defined]
DECISIONS = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TEXT = (
    ".py",
    ".md",
    ".ipynb",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".txt",
    ".html",
    ".css",
    ".sh",
    ".sql",
    ".conf",
    ".service",
    ".target",
    ".example",
    "Containerfile",
    "Makefile",
    "run",
    ".gitignore",
)


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = (ROOT / name for name in listed.stdout.split("\0") if name.endswith(TEXT))
    return [path for path in found if path.is_file()]


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands_in(path: Path) -> list[str]:
    """The lines of a page's blocks that begin with one of our programs, without the folder that it lies in."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix(".venv/bin/") for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.match(r"edgewright(-device)? ", line)]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("name", COMMAND_NAMES)
def test_every_command_is_described(name: str) -> None:
    assert f"`edgewright {name}" in COMMANDS
    assert re.search(rf"`(edgewright )?{name}`", README)


def test_every_command_of_the_device_is_described() -> None:
    names = re.findall(r"^ {4}([a-z-]+)(?:  |$)", device_cli._parser().format_help(), re.MULTILINE)
    assert "self-test" in names
    assert [name for name in names if not re.search(rf"`(edgewright device )?{name}`", COMMANDS)] == []


def test_no_command_is_described_that_does_not_exist() -> None:
    assert set(re.findall(r"`edgewright ([a-z][a-z-]*)", README + COMMANDS + SETTINGS)) <= set(COMMAND_NAMES)


@pytest.mark.parametrize("line", sorted({line for path in PAGES for line in commands_in(path)}))
def test_every_command_that_a_page_shows_can_be_typed(line: str) -> None:
    """Its words and options exist, and what it needs is there; `test_tutorial.py` runs those of the tutorial."""
    program, *words = shlex.split(line, comments=True)
    if program == "edgewright-device":
        device_cli._parser().parse_args(words)
        return
    command: Any = typer.main.get_command(frame._application())
    while hasattr(command, "commands"):
        assert words and words[0] in command.commands, f"there is no such command: {line}"
        command, words = command.commands[words[0]], words[1:]
    command.make_context("edgewright", list(words))


@pytest.mark.parametrize("name", [stage.name for stage in STAGES])
def test_every_stage_is_named(name: str) -> None:
    assert f"`{name}`" in COMMANDS
    assert f"{name}.py" in README


@pytest.mark.parametrize("path", sorted((ROOT / "flows").glob("[!_]*.py")), ids=lambda path: path.name)
def test_every_flow_is_named(path: Path) -> None:
    assert path.name in README


@pytest.mark.parametrize(
    "name", [*settings.NAMES, "EDGEWRIGHT_REAL_DATA", "EDGEWRIGHT_CASES", "PREFECT_API_URL", "MLFLOW_TRACKING_URI"]
)
def test_every_setting_is_described(name: str) -> None:
    assert f"| `{name}`" in SETTINGS


def test_every_setting_that_is_mentioned_anywhere_is_described() -> None:
    mentioned = {name for path in tracked() for name in re.findall(r"(?<!_)EDGEWRIGHT_[A-Z_]*[A-Z]", path.read_text())}
    assert mentioned <= set(re.findall(r"EDGEWRIGHT_[A-Z_]*[A-Z]", SETTINGS))


@pytest.mark.parametrize("name", PRESET_NAMES)
def test_every_preset_is_named(name: str) -> None:
    assert f"`{name}`" in README


def test_the_recipe_page_is_current() -> None:
    """Next: python docs/write_recipe.py."""
    page = script("write_recipe").page()
    assert (ROOT / "docs/recipe.md").read_text() == page
    assert all(f"`{name}`" in page for name in Recipe.model_fields)


def test_the_page_of_thresholds_is_current() -> None:
    """Next: python docs/write_thresholds.py."""
    assert (ROOT / "docs/thresholds.md").read_text() == script("write_thresholds").page()


def test_every_target_says_what_it_does() -> None:
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())  # type: ignore[index]
    assert set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)) == targets
    assert {name for name in targets if f"`{name}`" not in README} == {"help"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_link_is_dead(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text())
    assert [t for t in targets if not t.startswith("http") and not (path.parent / t).exists()] == []


def test_decisions_are_numbered_and_honest() -> None:
    assert [name[:4] for name in DECISIONS] == [f"{number:04d}" for number in range(1, len(DECISIONS) + 1)]
    for name in DECISIONS:
        text = (ROOT / "docs/adr" / name).read_text()
        assert 40 <= len(text.splitlines()) <= 80, name
        assert "## Options" in text, name
        assert "## What gets worse" in text, name


# Each is written so that it does not match itself.
FOREIGN = {
    "an absolute path of one machine": r"(?<![\w.~$}>-])/(?:wor[k]|roo[t]|op[t]|hom[e])/\w",
    "a package index": r"pyp[i]\.org|download\.pytorc[h]|--(?:extra-)?index-ur[l]|find-link[s]",
    "how it was made": r"\bissues? #?\d+\b(?! *:)|workplac[e]|\bthe brie[f]\b",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_names(what: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(FOREIGN[what], line)
    ]
    assert found == []


def test_one_file_alone_names_the_real_photographs() -> None:
    named = [path.relative_to(ROOT) for path in tracked() if "datasets/" + "bccd" in path.read_text()]
    assert named == [Path(".ci/run")]


def test_constraints_are_names_and_versions() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"#.*|[\w.-]+==[\w.]+", line)] == []
    assert [line for line in lines if re.match(r"(nvidia|cuda|triton)", line)] == []


def test_constraints_satisfy_what_is_required() -> None:
    known = {re.sub(r"[-_.]+", "-", name).lower(): Version(version) for name, version in pins().items()}
    texts = [*PROJECT["dependencies"], *(text for extra in PROJECT["optional-dependencies"].values() for text in extra)]
    for requirement in map(Requirement, texts):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name != PROJECT["name"]:
            assert name in known, f"{name} is not pinned. Next: make constraints"
            assert known[name] in requirement.specifier, f"{requirement} excludes {known[name]}"


def test_pins_leave_out_what_one_platform_needs() -> None:
    pick = script("write_constraints").pins
    cases = {
        "numpy==2.4.6": ["numpy==2.4.6"],  # kept
        "torch==2.15.0+cu130": ["torch==2.15.0"],  # a local version names a build
        "nvidia-nccl-cu13==2.30.7": [],  # follows from torch
        "-e git+ssh://host/edgewright": [],  # the project itself
        "thing @ file:///wheel": [],  # no version, an address
    }
    assert {line: pick([line]) for line in cases} == cases


def test_the_site_has_every_page_and_asks_no_other_server(tmp_path: Path) -> None:
    """`make check` builds it strictly: there a link that leads nowhere fails."""
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path)))
    made = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.html")}
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert made == (pages - {"adr/template"}) | {"index", "changelog", "adr/index", "404"}
    texts = [path.read_text() for kind in ("*.html", "*.css") for path in tmp_path.rglob(kind)]
    fetched = r"""<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=["']?(https?:)?//|url\(["']?(https?:)?//|@import"""
    assert [found[0] for text in texts if (found := re.search(fetched, text))] == []


def test_every_fault_stands_in_the_table_and_every_row_is_a_test() -> None:
    """In the suite of CI it is what is killed or restarted, in the other one everything."""
    page = (ROOT / "docs/faults.md").read_text()
    rows = re.findall(r"^\| .* \| .* \| `(test_\w+)` \|$", page, re.MULTILINE)
    files = (path.read_text() for path in sorted((ROOT / "tests/faults").glob("test_*.py")))
    faults = [name for text in files for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)]
    in_ci = re.findall(
        r"^def (test_a_(?:killed|restarted)_\w+)", (ROOT / "tests/slow/test_stack.py").read_text(), re.MULTILINE
    )
    assert sorted(rows) == sorted([*faults, *in_ci])


def test_every_attack_names_tests_that_exist() -> None:
    page = (ROOT / "docs/attacks.md").read_text()
    named = r"`tests/[\w/]+\.py::test_\w+`"
    rows = re.findall(rf"^\| [^|]+ \| [^|]+ \| ({named}(?:, {named})*) \|$", page, re.MULTILINE)
    headings = page.count("| attack | what comes of it | test |\n|---|---|---|\n")
    assert len(rows) == len(re.findall(r"^\|", page, re.MULTILINE)) - 2 * headings, "a row of another form"
    assert len(rows) >= 24
    tests = sorted({test for row in rows for test in re.findall(r"`(.+?)::(.+?)`", row)})
    missing = [
        f"{file}::{test}"
        for file, test in tests
        if not (ROOT / file).is_file() or f"\ndef {test}(" not in (ROOT / file).read_text()
    ]
    assert missing == []
