"""Ray's hands where there is no Ray; with a real cluster: tests/slow/test_ray.py."""

from __future__ import annotations

import importlib.util

import pytest

from edgewright.errors import InputError, MissingExtra
from edgewright.fanout import on_ray
from edgewright.fanout.on_ray import RayHands


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(on_ray, "find_spec", lambda name: None if name == "ray" else find(name))
    with pytest.raises(MissingExtra, match=r"needs Ray.*pip install 'edgewright\[ray\]'"):
        RayHands("local", threads=1)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "[::1]:9", "nowhere.invalid:6379"])
def test_an_address_at_which_nobody_is_ends_it_at_once(address: str) -> None:
    with RayHands(address, threads=1) as hands, pytest.raises(InputError, match="no Ray cluster answers") as raised:
        hands.hire("programs", b"")
    assert f"EDGEWRIGHT_RAY_ADDRESS={address}" in str(raised.value)
    assert raised.value.next_step and "EDGEWRIGHT_FANOUT=processes" in raised.value.next_step
