from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewright.device.feed import Folder, open_feed, picture_of
from edgewright.errors import InputError
from edgewright.runtime.pictures import MAX_PIXELS


def test_a_folder_is_read_in_name_order_and_ends_where_it_is_told(feed: Path) -> None:
    with open_feed(str(feed)) as opened:
        assert isinstance(opened, Folder) and not opened.live
        frames = list(opened.frames())
        assert [frame.name for frame in frames] == sorted(path.name for path in feed.iterdir() if path.suffix == ".png")
        assert frames[0].encoded() == (feed / "000.png").read_bytes()
        seen: list[str] = []
        for frame in opened.frames(until=lambda: len(seen) == 2):
            seen.append(frame.name)
        assert seen == ["000.png", "001.png"]


def test_an_address_may_lie_in_a_file(feed: Path, tmp_path: Path) -> None:
    (tmp_path / "address").write_text(f"{feed}\n")
    assert len(list(open_feed(f"@{tmp_path / 'address'}").frames())) == 7
    with pytest.raises(InputError, match="address cannot be read"):
        open_feed(f"@{tmp_path / 'missing'}")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ftp://me:secret@camera/x", "not a feed .*ftp://camera/x"),
        ("camera:front", "not a camera .*front"),
        ("camera:0?zoom=2", "only width, height, fps can be wished"),
        ("camera:0?width=inf", "not a camera"),
    ],
)
def test_what_is_no_feed_is_refused_without_its_password(address: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        open_feed(address)
    assert "secret" not in str(refused.value)


def test_pixels_of_a_camera_have_the_limit_of_files() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    with pytest.raises(InputError, match="picture too large"):
        picture_of(np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (side, side, 3)))
