"""What a device looks at: pictures one after another, wherever they come from.

    FOLDER                        its pictures in name order
    FILE.mp4                      a video, every frame in order (extra `video`)
    rtsp://camera/stream          a network camera; http:// and https:// streams too (extra `video`)
    camera:0, /dev/video0         a camera of this machine; camera:0?width=1280&height=720&fps=15 (extra `video`)
    @FILE                         the address is the first line of a file, where it holds a password

Decides which of them an address means. Refuses any other address, a folder without a picture, and a frame that takes
more than FRAME_BYTES of memory.

    with open_feed("photos") as feed:
        names = [frame.name for frame in feed.frames()]      # ["000.png", "001.png"]
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from PIL import Image as PillowImage

from edgewright.addresses import shown
from edgewright.errors import InputError
from edgewright.runtime.boxes import Image
from edgewright.runtime.pictures import (
    IMAGE_SUFFIXES,
    MAX_PIXELS,
    VIDEO_SUFFIXES,
    DecodedPicture,
    decode_picture,
    read_encoded,
)

STREAMS = ("rtsp", "rtsps", "http", "https")
CAMERA, DEVICES = "camera:", "/dev/video"
FRAME_BYTES = 160_000_000
"""What reading one frame may take of a device's memory, roughly: 40 megapixels of a PNG, of a plain JPEG any."""
_JPEG_QUALITY = 92
_MAX_ADDRESS_CHARACTERS = 4_000


def never() -> bool:
    return False


@dataclass(frozen=True)
class Frame:
    """A frame that is read when somebody asks for it.

    Attributes:
        name: of its file, or when it was taken.
        at: when it was seen, seconds since 1970; None of a file.
        read: side of the square that it is fitted into => the picture. Raises InputError where it is none.
        encoded: its file's bytes; of a frame that never was a file, a JPEG without any other data.
    """

    name: str
    at: float | None
    read: Callable[[int], DecodedPicture]
    encoded: Callable[[], bytes]


class Feed(Protocol):
    """Law: after `close` nothing of it runs on.

    Attributes:
        live: comes when it comes, and has no end.
        missed: frames of a live feed that came while nobody looked.
    """

    live: bool
    missed: int

    def check(self) -> None:
        """Raises InputError where nothing can be read from it."""

    def frames(self, *, until: Callable[[], bool] = never) -> Iterator[Frame]:
        """From the beginning, or from now; `until` is asked between frames, and while there is none."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None: ...


class Closed:
    """A feed as a block."""

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Folder(Closed):
    """A folder's pictures."""

    live = False
    missed = 0

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self) -> None:
        if next(iter(self._paths()), None) is None:
            raise InputError("no pictures in the feed", expected="/".join(IMAGE_SUFFIXES), where=self.root)

    def frames(self, *, until: Callable[[], bool] = never) -> Iterator[Frame]:
        for path in self._paths():
            if until():
                return
            yield _of_file(path)

    def _paths(self) -> Iterator[Path]:
        try:
            paths = sorted(self.root.iterdir())
        except OSError as error:
            raise InputError("the feed cannot be read", got=error.strerror, where=self.root) from error
        return (path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def open_feed(address: str, *, say: Callable[[str], None] | None = None) -> Feed:
    """
    Args:
        say: told when a live feed is lost and when it comes back, and such a feed is waited for; None: a feed that is
            lost or not there ends its frames with an InputError.

    Raises InputError: no address of a feed. MissingExtra: it needs OpenCV, which is not installed.
    """
    address = address_in(address)
    scheme = address.partition("://")[0].lower() if "://" in address else ""
    path = Path(address)
    local = address.startswith((CAMERA, DEVICES))
    if scheme in STREAMS or local:
        from edgewright.device.live import Camera, Stream  # OpenCV is an extra

        return Camera.of(address, say=say) if local else Stream(address, say=say)
    if scheme:
        raise InputError("not a feed", expected=f"a folder, a video, camera:N, {'|'.join(STREAMS)}", got=shown(address))
    if path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir():
        from edgewright.device.live import Video

        return Video(path)
    return Folder(path)


def _of_file(path: Path) -> Frame:
    """Read once, however often it is asked for. A file that takes more than FRAME_BYTES of memory is none."""

    @cache
    def encoded() -> bytes:
        return read_encoded(path, max_bytes=FRAME_BYTES)

    def read(fit_px: int) -> DecodedPicture:
        return decode_picture(encoded(), fit_px=fit_px, max_memory_bytes=FRAME_BYTES)

    return Frame(path.name, None, read, encoded)


def picture_of(rgb: Image) -> DecodedPicture:
    """Pixels that never were a file. Raises InputError where there are too many of them."""
    height, width = rgb.shape[:2]
    if height * width > MAX_PIXELS:
        raise InputError("picture too large", expected=f"<= {MAX_PIXELS} px", got=f"{width}x{height}")
    picture = PillowImage.fromarray(rgb)
    return DecodedPicture(picture, picture.size, 1, 1, False, ())


def jpeg_of(picture: PillowImage.Image) -> bytes:
    """Pixels alone: no EXIF, no color profile."""
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_JPEG_QUALITY)
    return stream.getvalue()


def address_in(given: str) -> str:
    """An address, or the one that the file after the `@` holds. Raises InputError."""
    if not given.startswith("@"):
        return given
    path = Path(given[1:])
    try:
        with path.open(encoding="utf-8") as stream:
            return stream.readline(_MAX_ADDRESS_CHARACTERS).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the address cannot be read", got=error, where=path) from error
