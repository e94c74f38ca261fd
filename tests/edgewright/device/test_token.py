from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.device.token import PREFIX, Token
from edgewright.errors import InputError

DIGESTS = st.text(alphabet="0123456789abcdef", min_size=64, max_size=64)
TOKEN = Token("https://gate.example:8472", "hidden", "a" * 64, "b" * 64)


@given(secret=st.text(min_size=1, max_size=80), authority=DIGESTS, root=DIGESTS)
def test_what_is_written_is_read(secret: str, authority: str, root: str) -> None:
    token = Token("https://[::1]:8472/fleet", secret, authority, root)
    assert Token.from_text(f" {token.to_text()}\n") == token


def test_its_secret_is_not_shown() -> None:
    assert TOKEN.secret not in repr(TOKEN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        PREFIX,
        f"{PREFIX}e30",  # {}
        f"{PREFIX}W10",  # []
        f"{PREFIX}!!!!",
        PREFIX + "A" * 5_000,
        TOKEN.to_text()[:-10],
    ],
)
def test_what_is_no_token_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InputError, match="not a token") as refusal:
        Token.from_text(text)
    assert not text[len(PREFIX) :] or text not in str(refusal.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "http://gate.example"),
        ("url", "gate"),
        ("secret", ""),
        ("authority_sha256", "ab"),
        ("root_sha256", "Z" * 64),
    ],
)
def test_a_token_that_proves_nothing_is_refused(field: str, value: str) -> None:
    with pytest.raises(InputError):
        Token(**{**TOKEN.__dict__, field: value})
