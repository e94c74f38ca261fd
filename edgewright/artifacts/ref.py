"""What travels between stages: a name for an artifact, small enough for a flow parameter, checkable by anyone."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from edgewright.errors import InputError

_SHA256 = re.compile(r"[0-9a-f]{64}")
MEDIA_PREFIX = "application/vnd.edgewright."


@dataclass(frozen=True)
class ArtifactRef:
    """Where an artifact lies and the digest of its content.

    Law: `ArtifactRef.from_json(ref.to_json()) == ref`.

    Attributes:
        uri: `file:///…/artifacts/<sha256>` or `s3://bucket/prefix/artifacts/<sha256>`.
        sha256: 64 lowercase hex digits of the canonical JSON of the manifest's `content`.
        media_type: `application/vnd.edgewright.<kind>`.
    """

    uri: str
    sha256: str
    media_type: str

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise InputError("not an artifact digest", expected="64 lowercase hex digits", got=repr(self.sha256))
        if not self.uri.endswith(f"/artifacts/{self.sha256}"):
            raise InputError(
                "an artifact's URI must end in its digest", expected=f"…/artifacts/{self.sha256}", got=self.uri
            )

    @property
    def kind(self) -> str:
        """`dataset_real` for `application/vnd.edgewright.dataset_real`."""
        return self.media_type.removeprefix(MEDIA_PREFIX)

    @property
    def store_uri(self) -> str:
        """The root of the store that holds it."""
        return self.uri.removesuffix(f"/artifacts/{self.sha256}")

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, str]) -> ArtifactRef:
        return cls(uri=value["uri"], sha256=value["sha256"], media_type=value["media_type"])
