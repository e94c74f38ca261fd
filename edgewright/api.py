"""The Python face: what the command line does, for a notebook or a program.

    import edgewright as ew

    ew.inspect("photos/")
    run = ew.run("laptop", source="photos/", set={"train_detector.epochs": 80})
    run.dataset.classes, run.metrics["int8"]["map50"], run.report
    for found in run.detector.predict("photo.jpg"):
        print(found.name, found.score, found.xyxy)

Decides how results look in Python, nothing else: runs, the home and what is refused are the command line's, and so are
the errors (`edgewright.errors`). Needs the pipeline extra; a device needs none of this.
"""

from __future__ import annotations

import html
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from edgewright.cli.frame import missing_extra
from edgewright.cli.home import home_settings, home_store
from edgewright.errors import ArtifactMissing, InputError
from edgewright.packages import require_own_packages
from edgewright.settings import Settings, read_settings

if TYPE_CHECKING:
    from PIL import Image as PillowImage

    from edgewright.artifacts import ArtifactRef
    from edgewright.data.dataset import Dataset
    from edgewright.data.inspection import Inspection
    from edgewright.runtime.boxes import Boxes, Image
    from edgewright.runtime.session import Predictor
    from tasks.engine.journal import Journal

_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


@contextmanager
def _extras_named() -> Iterator[None]:
    """Raises MissingExtra, which says what to install, where a package is missing."""
    try:
        yield
    except ModuleNotFoundError as raised:
        raise missing_extra(raised) from raised


@_extras_named()
def run(
    recipe: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] = "",
    project: str = "",
    set: Mapping[str, object] | None = None,
    from_: str = "",
    until: str = "",
) -> Run:
    """Carry images through the whole life cycle, or continue where an equal call was ended.

    Progress goes to standard error: bars on a terminal, a line a stage in a notebook.

    Args:
        recipe: a preset (demo, laptop, workstation, cluster) or a YAML file.
        source: a folder, archive, video, s3://bucket/prefix or dataset:DIGEST; demo needs none.
        project: what runs, splits and models are kept under; the source's name unless given.
        set: fields of the recipe: `{"train_detector.epochs": 80}` or `{"train_detector": {"epochs": 80}}`.
        from_: compute this stage and everything after it anew. until: end after this stage.

    Raises:
        EdgewrightError: what ended the run, by who must act; GateEnded and WaitingForPerson among them.
        KeyboardInterrupt: the same call continues.
    """
    require_own_packages()
    from edgewright.recipe import resolve, source_for

    resolved = resolve(os.fspath(recipe), overrides=list(_overrides(set or {})))
    named = source_for(resolved, os.fspath(source))
    settings = _settings_of_this_process()
    from edgewright.cli.console import Display
    from edgewright.cli.launch import STAGE_NAMES, n_stages, run_lifecycle
    from tasks.engine.run import make_request

    asked = {"stages": STAGE_NAMES, "from_stage": from_, "until": until}
    request = make_request(resolved, source=named, project=project or None, **asked)
    with Display(stages=n_stages(request)) as display:
        return Run(run_lifecycle(request, settings, observer=display), settings)


@_extras_named()
def inspect(source: str | os.PathLike[str], *, set: Mapping[str, object] | None = None) -> Inspected:
    """What ingest would make of a folder, an archive or a video, what looks wrong, and what would cure it.

    Takes seconds; nothing is kept. Args: set: fields of `ingest`, as for `run`.

    Raises:
        SourceError: it cannot be read, or holds nothing.
    """
    from edgewright.cli.inspect import look_into

    found = look_into(os.fspath(source), overrides=list(_overrides(set or {})))
    return Inspected(os.fspath(source), found)


@dataclass(frozen=True, repr=False)
class Inspected:
    """What was found in a source; a notebook shows the page of `edgewright inspect`.

    Attributes:
        found: everything: `found.report`, `found.rows`, `found.suspects`.
    """

    source: str
    found: Inspection

    @property
    def proposed(self) -> dict[str, object]:
        """Settings that would cure what was found: `ew.run("laptop", source=…, set=inspected.proposed)`."""
        import yaml

        split = (setting.partition("=") for setting in self.found.proposals)
        return {name: yaml.safe_load(value) for name, _, value in split}

    def __repr__(self) -> str:
        from edgewright.cli.inspect import told_lines

        return "\n".join(told_lines(self.found))

    def _repr_html_(self) -> str:
        from edgewright.report.inspection import render_inspection

        return _in_frame(render_inspection(self.found, source=self.source))


@dataclass(frozen=True, repr=False)
class Run:
    """One run of the home, finished or not. What it says is read from its record each time.

    Raises ArtifactMissing where something is asked for that the run has not made.
    """

    journal: Journal
    settings: Settings

    @classmethod
    def latest(cls) -> Run:
        """The newest run of the home."""
        return cls.open("latest")

    @classmethod
    @_extras_named()
    def open(cls, run_id: str) -> Run:
        """By its id or the unambiguous beginning of it."""
        require_own_packages()
        from tasks.engine.journal import find_journal

        settings = read_settings()
        return cls(find_journal(settings.runs, run_id), settings)

    @property
    def id(self) -> str:
        return self.journal.run_id

    @property
    def status(self) -> str:
        """`running`, `finished`, `ended` by a gate, `waiting` for a person, `interrupted` or `failed`."""
        return str(self.journal.state["status"])

    @property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """By precision, `float` and `int8`: `bytes`, `map50`, `map50_95`."""
        models: dict[str, dict[str, float | None]] = self.journal.state["models"]
        return models

    @property
    def tiers(self) -> dict[str, dict[str, Any]]:
        """Of a run that makes a detector a tier of devices: by tier `bytes`, `map50`, `p99_ms` and more of its INT8
        file; empty where it makes one."""
        found: dict[str, dict[str, Any]] = self.record["tiers"]
        return found

    @property
    def record(self) -> dict[str, Any]:
        """The object that `edgewright run --json` prints: stages, gates, release, device, error and more."""
        return self.journal.public

    @cached_property
    @_extras_named()
    def dataset(self) -> Dataset:
        """What was taken in: rows with labels and splits; `dataset.image(row)` is a picture."""
        from edgewright.data.dataset import Dataset

        return Dataset.open(home_store(self.settings), self._made_by("ingest"))

    @cached_property
    @_extras_named()
    def detector(self) -> Detector:
        """The INT8 model, run as the device runs it."""
        from edgewright.compress.files import SPEC_FILE, file_for_this_machine
        from edgewright.runtime.session import ModelSpec, load_network, predictor

        artifact = home_store(self.settings).open(self._made_by("quantize"))
        spec = ModelSpec.from_json(artifact.json(SPEC_FILE))
        file = artifact.path(file_for_this_machine(artifact.files))
        network = load_network(file, threads=self.settings.threads)
        return Detector(spec.classes, predictor(network, spec))

    @property
    def report(self) -> Report:
        """The page that the run ended with; a notebook shows it."""
        path = self.journal.state["report"]
        if not path or not Path(path).is_file():
            raise ArtifactMissing("the run has no page", got=path or "none", next_step=f"edgewright report {self.id}")
        return Report(Path(path))

    def _made_by(self, stage: str) -> ArtifactRef:
        from edgewright.artifacts import ArtifactRef

        refs = self.journal.state["refs"]
        if stage not in refs:
            known = ", ".join(refs) or "no stage's result"
            raise ArtifactMissing(f"the run has no result of {stage}", got=f"{known}; run {self.id} {self.status}")
        return ArtifactRef.from_json(refs[stage])

    def __repr__(self) -> str:
        return f"<edgewright run {self.id}: {self.status}>"


@dataclass(frozen=True)
class Detection:
    """One object: its class, its score in [0, 1], its corners in px of the picture."""

    name: str
    score: float
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, repr=False)
class Detections(Sequence[Detection]):
    """What was found in one picture, best score first; a notebook shows the picture with its boxes.

    >>> from edgewright.runtime.boxes import Boxes
    >>> import numpy as np
    >>> found = Detections(np.zeros((8, 8, 3), np.uint8), Boxes.of([[0, 0, 4, 4]], class_id=[1]), ("bolt", "nut"))
    >>> found[0], found.drawn().size
    (Detection(name='nut', score=1.0, xyxy=(0.0, 0.0, 4.0, 4.0)), (8, 8))
    """

    image: Image
    boxes: Boxes
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.boxes)

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(self, index: slice) -> list[Detection]: ...
    def __getitem__(self, index: int | slice) -> Detection | list[Detection]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        x1, y1, x2, y2 = self.boxes.xyxy[index].tolist()
        return Detection(
            self.classes[int(self.boxes.class_id[index])], float(self.boxes.score[index]), (x1, y1, x2, y2)
        )

    def drawn(self) -> PillowImage.Image:
        """The picture with its boxes, as `edgewright detect` draws them."""
        from PIL import Image as PillowImage

        from edgewright.runtime.draw import draw_boxes

        return PillowImage.fromarray(draw_boxes(self.image, self.boxes, classes=self.classes))

    def __repr__(self) -> str:
        return f"Detections({list(self)})"

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.drawn().save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True)
class Detector:
    """A model with its classes, thresholds and runtime."""

    classes: tuple[str, ...]
    _predict: Predictor

    def predict(self, image: Image | PillowImage.Image | str | os.PathLike[str]) -> Detections:
        """Of a picture: (H, W, 3) uint8 RGB, a Pillow image, or a file. Raises InputError for anything else."""
        pixels = _pixels(image)
        return Detections(pixels, self._predict(pixels), self.classes)


@dataclass(frozen=True)
class Report:
    """A self-contained page; `os.fspath(report)` is where it lies."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        return _in_frame(self.path.read_text(encoding="utf-8"))


def _in_frame(page: str) -> str:
    """A page within a notebook: its styles stay its own, and scripts would not run."""
    return f'<iframe sandbox="" srcdoc="{html.escape(page)}" style="width: 100%; height: 40rem; border: 0"></iframe>'


def _pixels(image: Any) -> Image:
    import numpy as np
    from PIL import Image as PillowImage

    from edgewright.runtime.preprocess import decode_image, read_image

    if isinstance(image, str | os.PathLike):
        return read_image(Path(image))
    if isinstance(image, PillowImage.Image):
        return decode_image(_encoded(image))
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return image
    got = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InputError("not a picture", expected="(H, W, 3) uint8 RGB, a Pillow image or a path", got=got)


def _encoded(image: PillowImage.Image) -> bytes:
    """PNG bytes for the decoder that every file goes through. Raises InputError for a mode that PNG does not hold."""
    from PIL import ImageOps

    if image.mode not in _PNG_MODES:
        raise InputError(
            "a Pillow image of this mode is not read",
            expected=", ".join(_PNG_MODES),
            got=image.mode,
            next_step='image.convert("RGB")',
        )
    buffer = io.BytesIO()
    ImageOps.exif_transpose(image).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _overrides(values: Mapping[str, object], *, section: str = "") -> Iterator[str]:
    """`section.field=value`, the value as JSON, which is YAML."""
    for name, value in values.items():
        if isinstance(value, Mapping) and not section and "." not in name:
            yield from _overrides(value, section=f"{name}.")
        else:
            yield f"{section}{name}={json.dumps(value, default=str, ensure_ascii=False)}"


@cache
def _first_settings() -> Settings:
    return home_settings()


def _settings_of_this_process() -> Settings:
    """Prefect and MLflow read once where they live. Raises InputError where the home is another one by now."""
    settings, now = _first_settings(), read_settings().home
    if now != settings.home:
        raise InputError(
            "this Python has run in another home",
            expected=settings.home,
            got=now,
            next_step="restart Python (the notebook's kernel), or set EDGEWRIGHT_HOME back",
        )
    return settings
