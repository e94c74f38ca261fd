"""A line's simulated camera as the feed of a device, with a clock of its own: a frame a second.

Decides which pictures a device sees: of device `n` those from `first_of(n)` on, one after another and none twice, so
that devices on one line never see the same scene. The truth of each frame is remembered for whoever measures. Refuses
nothing.

    feed = LineFeed(SimulatedCamera(0), first=first_of(0), began_at=1_760_000_000.0)
    frame = next(feed.frames())
    feed.truth[frame.name]                                  # Boxes
    feed.camera = SimulatedCamera(0, shift=shift_named("night"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from PIL import Image as PillowImage

from edgewright.device.feed import Closed, Frame, jpeg_of, never, picture_of
from edgewright.runtime.boxes import Boxes
from edgewright.simulate.camera import SimulatedCamera

EVERY_S = 1.0
_STATION = 100_000
_FIRST = 4_000_000


def first_of(device: int) -> int:
    """The first frame of a device. Photographs count from 0, feeds of demos from 1,000,000."""
    return _FIRST + _STATION * device


class LineFeed(Closed):
    """Attributes:
    camera: what it looks through from the next frame on. seen: how many frames came. truth: what was on each, by name.
    """

    live = True
    missed = 0

    def __init__(self, camera: SimulatedCamera, *, first: int, began_at: float) -> None:
        self.camera, self._first, self._began_at = camera, first, began_at
        self.seen = 0
        self.truth: dict[str, Boxes] = {}

    def check(self) -> None:
        pass

    def frames(self, *, until: Callable[[], bool] = never) -> Iterator[Frame]:
        while not until():
            index, at = self._first + self.seen, self._began_at + EVERY_S * self.seen
            photograph = self.camera.photograph(index)
            name = f"{index:08d}"
            self.truth[name] = photograph.boxes
            self.seen += 1
            picture = picture_of(photograph.image)
            yield Frame(
                name,
                at,
                lambda fit_px, picture=picture: picture,  # type: ignore[misc]  # noqa: ARG005 - a feed's signature
                lambda image=photograph.image: jpeg_of(PillowImage.fromarray(image)),  # type: ignore[misc]
            )
