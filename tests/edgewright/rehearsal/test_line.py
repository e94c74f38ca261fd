from __future__ import annotations

from itertools import islice

import numpy as np

from edgewright.rehearsal.line import EVERY_S, LineFeed, first_of
from edgewright.simulate.camera import SimulatedCamera
from edgewright.simulate.shift import shift_named


def test_no_frame_comes_twice_and_the_clock_goes_on() -> None:
    feed = LineFeed(SimulatedCamera(0), first=first_of(1), began_at=100.0)
    first, second = list(islice(feed.frames(), 2)), list(islice(feed.frames(), 2))
    frames = [*first, *second]
    assert [frame.at for frame in frames] == [100.0 + EVERY_S * number for number in range(4)]
    assert len({frame.name for frame in frames}) == 4 == len(feed.truth) == feed.seen
    assert int(frames[0].name) == first_of(1)


def test_what_is_read_is_the_camera_of_now_and_its_truth() -> None:
    feed = LineFeed(SimulatedCamera(0), first=first_of(0), began_at=0.0)
    (day,) = islice(feed.frames(), 1)
    feed.camera = SimulatedCamera(0, shift=shift_named("night"))
    (night,) = islice(feed.frames(), 1)
    for frame, camera in ((day, SimulatedCamera(0)), (night, feed.camera)):
        photograph = camera.photograph(int(frame.name))
        assert np.array_equal(np.asarray(frame.read(64).rgb), photograph.image)
        assert np.array_equal(feed.truth[frame.name].xyxy, photograph.boxes.xyxy)


def test_it_ends_where_it_is_told_to() -> None:
    feed = LineFeed(SimulatedCamera(0), first=0, began_at=0.0)
    assert list(feed.frames(until=lambda: feed.seen >= 3)) and feed.seen == 3
