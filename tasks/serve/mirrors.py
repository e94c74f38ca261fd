"""A project's repository in a bucket too, from which devices pull it by HTTP and no server of ours runs for them.

    s3://bucket/prefix/<project>/metadata/…, targets/…

Decides when: after whatever is signed, where EDGEWRIGHT_RELEASES_S3 names a place, and whenever it is asked for. What
is signed stays signed where the bucket is away: that is said, and the next mirroring brings all of it.
"""

from __future__ import annotations

from pathlib import Path

from edgewright.errors import StoreUnavailable
from edgewright.release.mirror import Mirrored, mirror
from edgewright.settings import Settings


def mirror_to(repository: Path, to: str) -> Mirrored:
    """Make the project's folder of the bucket hold what its repository announces.

    Args: to: `s3://bucket/prefix`, of all projects.

    Raises:
        StoreUnavailable: S3 is silent, or refuses us.
        InputError, ArtifactCorrupt: as `mirror` does. SourceError: no such address.
    """
    from edgewright.artifacts.s3 import S3Folder  # boto3 is imported only by those who use it

    return mirror(repository, S3Folder(f"{to.rstrip('/')}/{repository.name}"))


def keep_mirrored(settings: Settings, repository: Path) -> Mirrored | None:
    """The same after something was signed; None where the settings name no bucket."""
    if not settings.releases_s3:
        return None
    try:
        return mirror_to(repository, settings.releases_s3)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            "what is signed here has not reached the bucket",
            got=error,
            next_step="edgewright release mirror, once it can be written",
        ) from error
