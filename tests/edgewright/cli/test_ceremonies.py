"""What people type at a table with the keys, and what they are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewright.cli import ceremonies, main, releases
from edgewright.device.frames_policy import EscalationPolicy, FramesPolicy
from edgewright.release.keys import ONLINE
from edgewright.release.repository import state_of
from edgewright.settings import read_settings


@pytest.fixture
def use_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """`use_home(EDGEWRIGHT_KEYS_SECRET=…)`: the commands' home from now on."""

    def use(**environment: str) -> Path:
        settings = read_settings({"EDGEWRIGHT_HOME": str(tmp_path / "home"), **environment})
        for module in (ceremonies, releases):
            monkeypatch.setattr(module, "home_settings", lambda: settings)
        return settings.home

    return use


@pytest.fixture
def home(use_home: Callable[..., Path]) -> Path:
    return use_home()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody sits at the terminal and types the passphrase of what is asked for; the prompts so far."""
    prompts: list[str] = []

    def type_it(prompt: str) -> str:
        prompts.append(prompt)
        return "correct horse"

    monkeypatch.setattr(ceremonies.sys, "stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr(ceremonies.getpass, "getpass", type_it)
    return prompts


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(words)
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


def test_a_project_from_its_first_key_to_a_revoked_release(
    home: Path, typed: list[str], make_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str, code: int = 0) -> str:
        got, out, err = told(["release", *words], capsys)
        assert got == code, err
        return out + err

    assert "take root-1, root-2, root-3 and targets elsewhere" in run("init", "belt")
    assert len(typed) == 2 * 4, "each new passphrase twice"
    typed.clear()
    for release in (1, 2, 3):
        bundle = make_bundle(release=release, gain=1 - release / 20)
        assert f"stable release {release}, full, permitted" in run("publish", str(bundle), "--project", "belt")
    assert set(typed) == {"passphrase of targets: "}, "online keys open by themselves"
    listed = run("list", "--project", "belt")
    assert listed == "belt stable: permits 1, 2, 3; floor 0\n"
    bundle = make_bundle(release=3, gain=0.85)
    assert "was permitted already" in run("publish", str(bundle), "--project", "belt", "--roll-out")
    assert "running release-3: release 3 to 100%, otherwise 3" in run("list")
    assert "no release below 2" in run("floor", "2", "--project", "belt")
    assert "--allow-rollback lets devices go back" in run("floor", "1", "--project", "belt", code=2)
    assert "no release below 1" in run("floor", "1", "--project", "belt", "--allow-rollback")
    assert "permitted no longer" in run("revoke", "2", "--project", "belt")
    (state,) = json.loads(run("list", "--json"))
    assert (state["permitted"], state["policies"]["stable"]["allow_rollback_to"]) == ({"stable": [1, 3]}, 1)
    assert "snapshot is a new key" in run("rotate-key", "snapshot", "--project", "belt")
    assert run("verify") == "belt: as it is signed\n"
    next((home / "releases/belt/targets/stable/full/1").glob("*.model.onnx")).unlink()
    assert "stable/full/1/model.onnx is signed and not there" in run("verify", code=2)


def test_where_nobody_can_type_a_passphrase_that_is_said(
    home: Path, typed: list[str], make_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    assert told(["release", "init", "belt"], capsys)[0] == 0
    monkeypatch.setattr(ceremonies.sys, "stdin", type("Pipe", (), {"isatty": lambda self: False})())
    bundle = make_bundle(release=1)
    code, _, err = told(["release", "publish", str(bundle), "--project", "belt"], capsys)
    assert code == 2
    assert "a passphrase is asked for, and nobody is there" in err
    assert told(["release", "renew", "--project", "belt"], capsys)[1] == "belt: fresh\n", "which needs nobody"


def test_two_passphrases_that_differ_make_no_key(
    home: Path, typed: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter("ab")
    monkeypatch.setattr(ceremonies.getpass, "getpass", lambda prompt: next(said))
    code, _, err = told(["release", "init", "belt"], capsys)
    assert (code, "the two are not the same" in err) == (2, True)
    assert not list((home / "keys/belt").glob("*.pem"))


def test_the_secret_may_lie_elsewhere(
    use_home: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = use_home(EDGEWRIGHT_KEYS_SECRET=str(tmp_path / "credential"))
    assert told(["release", "init", "belt", "--unattended"], capsys)[0] == 0
    assert (tmp_path / "credential").is_file()
    assert not (home / "keys/belt/secret").exists()
    assert told(["release", "renew"], capsys)[1] == "belt: fresh\n"
    use_home(EDGEWRIGHT_KEYS_SECRET=str(tmp_path / "lost"))
    for role in ONLINE:
        assert (home / f"keys/belt/{role}.pem").is_file()
    assert told(["release", "rotate-key", "rollout", "--project", "belt"], capsys)[0] == 2


def test_who_may_be_asked_about_doubted_frames_is_signed(
    home: Path, make_bundle: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        return told(["release", "frames", "--project", "belt", *words], capsys)

    assert told(["release", "init", "belt", "--unattended"], capsys)[0] == 0
    assert told(["release", "publish", str(make_bundle(release=1)), "--project", "belt"], capsys)[0] == 0
    to = ("--escalate-to", "https://gate.example:8475", "--escalate-share", "0.1", "--deadline-ms", "200")
    code, out, _ = run("--an-hour", "0", "--blur", "person", *to, "--escalate-mb", "20", "--escalate-px", "320")
    assert code == 0 and "no hard frames; https://gate.example:8475 is asked about at most 10.0% of frames" in out
    kept = state_of(home / "releases/belt").policies["stable"].frames
    asked = EscalationPolicy("https://gate.example:8475", 100, 200, 20_000_000, 50, 320)
    assert kept == FramesPolicy(an_hour=0, blur=("person",), escalation=asked)
    code, _, err = run("--escalate-to", "http://gate.example")
    assert code == 2 and "not a policy of escalation" in err
    assert run("--an-hour", "0")[0] == 2, "a policy that permits nothing is none"
    assert run("--none")[0] == 0
