"""`edgewright detect`: what a model finds, a line a picture on stdout, and the pictures with its boxes in a folder.

Decides how findings are shown. Goes on past what cannot be read: it says so on stderr, and refuses to call it done only
where nothing could be read.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edgewright.detect.look import Picture, files_of, pictures_in
from edgewright.errors import InputError
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.draw import draw_boxes
from edgewright.runtime.session import Predictor

_MANY = 20
"""From so many files on a terminal shows a bar."""


@dataclass
class Detections:
    """What was looked at so far. `look` adds a picture and gives its line.

    Attributes:
        save: the folder of the drawn pictures; None draws none.
    """

    predict: Predictor
    classes: Sequence[str]
    save: Path | None
    read: int = 0
    unreadable: int = 0

    def look(self, picture: Picture) -> dict[str, Any]:
        if picture.image is None:
            self.unreadable += 1
            return {"image": picture.name, "error": picture.unreadable}
        boxes = self.predict(picture.image)
        line = {
            "image": picture.name,
            **_told(picture.to_file(boxes), self.classes),
            "drawn": self._draw(picture, boxes),
        }
        self.read += 1
        return line

    def _draw(self, picture: Picture, boxes: Boxes) -> str | None:
        if self.save is None or picture.image is None:
            return None
        self.save.mkdir(parents=True, exist_ok=True)
        target = self.save / f"{self.read:05d}-{picture.stem}.png"
        PillowImage.fromarray(draw_boxes(picture.image, boxes, classes=self.classes)).save(target)
        return str(target)


def show_detections(detections: Detections, words: Sequence[str], *, every: int, as_json: bool) -> None:
    """Look at everything that the words name. Raises InputError where nothing could be read."""
    files = files_of(words)
    with _counting(len(files)) as (say, count):
        for file in files:
            for picture in pictures_in(file, every=every):
                line = detections.look(picture)
                if "error" in line:
                    print(f"edgewright: {picture.name} is passed over: {line['error']}", file=sys.stderr)
                if as_json:
                    say(json.dumps(line, sort_keys=True))
                elif "error" not in line:
                    say(_sentence(line))
            count()
    looked = detections.read + detections.unreadable
    if not detections.read:
        raise InputError("no picture could be read", got=f"{looked} unreadable", where=" ".join(words))
    if detections.unreadable:
        print(f"edgewright: {detections.unreadable} of {looked} pictures could not be read", file=sys.stderr)


def _told(boxes: Boxes, classes: Sequence[str]) -> dict[str, Any]:
    names = [classes[index] for index in boxes.class_id]
    return {"classes": names, "scores": boxes.score.tolist(), "xyxy": boxes.xyxy.tolist()}


def _sentence(line: dict[str, Any]) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(Counter(line["classes"]).items()))
    drawn = f" -> {line['drawn']}" if line["drawn"] else ""
    return f"{line['image']}: {counts or 'nothing'}{drawn}"


@contextmanager
def _counting(files: int) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """How to say a line on stdout, and how to count a file: with a bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    if files < _MANY or not console.is_terminal:
        yield print, lambda: None
        return
    columns = (TextColumn("detect"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    # Not redirected: lines that go into a file or a pipe are nobody's to put on the terminal.
    with Progress(*columns, console=console, redirect_stdout=False) as bars:
        bar = bars.add_task("", total=files)

        def say_above(text: str) -> None:
            bars.console.print(text, soft_wrap=True, highlight=False, markup=False)

        yield (say_above if sys.stdout.isatty() else print), lambda: bars.advance(bar)
