"""What release and flash may be told."""

from __future__ import annotations

from pydantic import Field

from edgewright.recipe.section import Section


class ReleaseConfig(Section):
    channel: str = Field("stable", pattern=r"^[a-z0-9-]{1,32}$")
    golden_images: int = Field(
        4,
        ge=1,
        le=32,
        description="Pictures a device checks itself with: admitted synthetic ones, else the simulated camera's; "
        "photographs only where approved",
    )
    roll_out: bool = Field(
        True,
        description="To all devices at once; false: the release is permitted, no device is flashed, and "
        "`edgewright fleet` rolls it out",
    )
    approve_real_golden: bool = Field(False, description="Allow photographs as golden images: they go to every device")


class FlashConfig(Section):
    device_group: str = Field("demo", pattern=r"^[a-z0-9-]{1,32}$")
    feed_frames: int = Field(24, ge=1, description="Frames of the feed that the device detects on")
    timeout_s: int = Field(120, ge=5)
