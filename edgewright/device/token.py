"""What brings a device into a fleet: one line of text, made for it, carried by hand, good once.

Decides what a device believes before it has asked anybody: the collector's address, the digest of the authority that
vouches for it, the digest of the root that releases are checked against. Refuses what is not such a line.

>>> token = Token("https://gate:8472", secret="s", authority_sha256="a" * 64, root_sha256="b" * 64)
>>> Token.from_text(token.to_text()) == token, "secret" in repr(token)
(True, False)
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass, field

from edgewright.addresses import checked
from edgewright.errors import InputError

PREFIX = "edgewright-1."
MAX_TOKEN_CHARACTERS = 2_000
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NEXT = "edgewright fleet invite, on the machine of the collector, prints one"


@dataclass(frozen=True)
class Token:
    """Law: `Token.from_text(t.to_text()) == t`.

    Attributes:
        url: of the collector.
        secret: what the collector made for one device; it keeps the digest alone.
        authority_sha256, root_sha256: of the authority's certificate (DER) and of the repository's first root.
    """

    url: str
    secret: str = field(repr=False)
    authority_sha256: str
    root_sha256: str

    def __post_init__(self) -> None:
        checked(self.url, schemes=("https",))
        if not all(_DIGEST.fullmatch(each) for each in (self.authority_sha256, self.root_sha256)) or not self.secret:
            raise InputError("not a token", expected="a secret and two sha256", next_step=_NEXT)

    def to_text(self) -> str:
        return PREFIX + base64.urlsafe_b64encode(json.dumps(asdict(self), sort_keys=True).encode()).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Token:
        """Raises InputError, without the text: it may be a secret."""
        coded = text.strip().removeprefix(PREFIX)
        try:
            if len(text) > MAX_TOKEN_CHARACTERS or not text.strip().startswith(PREFIX):
                raise ValueError(f"{len(text)} characters")
            value = json.loads(base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True))
            return cls(**{name: str(value[name]) for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError("not a token", expected=f"a line that begins with {PREFIX}", next_step=_NEXT) from error
