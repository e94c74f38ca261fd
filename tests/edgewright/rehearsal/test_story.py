from __future__ import annotations

import json

from edgewright.rehearsal.story import PART_FRAMES, Part, Story, parts_of
from edgewright.rehearsal.watched import SeenFrame
from edgewright.runtime.boxes import Boxes

TRUTH = Boxes.of([[0, 0, 10, 10]], class_id=[0])


def seen(name: str, boxes: Boxes) -> SeenFrame:
    return SeenFrame(name, 0.0, 1, boxes, Boxes.empty())


def test_accuracy_over_time_is_told_in_parts_of_all_devices() -> None:
    n = PART_FRAMES + 10
    good = [seen(f"a{number}", TRUTH) for number in range(n)]
    blind = [seen(f"b{number}", TRUTH if number < PART_FRAMES else Boxes.empty()) for number in range(n)]
    truth = {frame.name: TRUTH for frame in [*good, *blind]}
    first, second = parts_of("day", [good, blind], truth, classes=("nut",), after=50)
    assert (first.frames, first.map50, first.release) == (50 + PART_FRAMES, 1.0, 1)
    assert second.frames == 50 + n and 0.4 < second.map50 < 0.6
    assert parts_of("day", [[], []], truth, classes=("nut",), after=0) == []


def test_a_story_is_read_back() -> None:
    story = Story(
        "line-1", (None, 40), ("", "light was 1"), 800, ("line/abc",), (Part("day", 200, 1, 0.5),), "release 2: done"
    )
    assert Story.from_json(json.loads(json.dumps(story.to_json()))) == story
