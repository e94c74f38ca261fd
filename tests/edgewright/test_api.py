"""The Python face on a home that holds one run; that `ew.run` makes such runs shows the notebook (test_tutorial.py)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgewright as ew
from edgewright import api
from edgewright.artifacts import Content, Record, open_store
from edgewright.cli.launch import terminate_as_interrupt
from edgewright.compress.files import INT8_FILE, SPEC_FILE
from edgewright.data.codec import encode_png
from edgewright.data.rows import Row
from edgewright.errors import ArtifactMissing, InputError, MissingExtra
from edgewright.recipe import resolve
from tasks.engine.journal import Journal
from tests.cells import SPEC, cell_detector, cell_picture
from tests.scenes import publish_dataset

PICTURE = cell_picture(red=0, green=3)
FOUND = [("red", (2.0, 2.0, 30.0, 30.0)), ("green", (34.0, 34.0, 62.0, 62.0))]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home that the environment names: its one run took in one picture and made the cell detector."""
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path))
    monkeypatch.delenv("EDGEWRIGHT_STORE", raising=False)
    store = open_store(str(tmp_path / "store"))
    row = Row(id="a.png", sha256="", width=64, height=64, split="test", group="a", state="background")
    taken = publish_dataset(store, [(row, encode_png(PICTURE))], classes=SPEC.classes)
    with store.workspace() as work:
        (work / INT8_FILE).write_bytes(cell_detector())
        (work / SPEC_FILE).write_text(json.dumps(SPEC.to_json()))
        model = store.publish(work, Content(kind="int8_model", stage="quantize"), Record())
    journal = Journal.begin(tmp_path / "runs", project="p", source="s", recipe={}, plan="plan")
    journal.update(
        refs={"ingest": taken.ref.to_json(), "quantize": model.to_json()},
        models={"int8": {"bytes": 5, "map50": 0.5, "map50_95": None}},
        status="finished",
    )
    return tmp_path


def test_a_run_says_what_its_record_says(home: Path) -> None:
    run = ew.Run.latest()
    assert (run.id, run.status) == (ew.Run.open(run.id[:-2]).id, "finished")
    assert run.metrics == {"int8": {"bytes": 5, "map50": 0.5, "map50_95": None}}
    assert run.record == run.journal.public
    assert repr(run) == f"<edgewright run {run.id}: finished>"
    run.journal.update(status="failed")
    assert run.status == "failed", "a live run is looked at, not remembered"


def test_the_data_set_is_what_was_taken_in(home: Path) -> None:
    dataset = ew.Run.latest().dataset
    assert dataset.classes == SPEC.classes
    np.testing.assert_array_equal(dataset.image(dataset.rows[0]), PICTURE)


def _in_file(folder: Path) -> Path:
    Image.fromarray(PICTURE).save(folder / "picture.png")
    return folder / "picture.png"


def _turned(folder: Path) -> Image.Image:
    """As a camera stores it that was held upside down: the pixels turned, and an EXIF tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(PICTURE[::-1, ::-1]).save(folder / "turned.png", exif=exif)
    return Image.open(folder / "turned.png")


@pytest.mark.parametrize(
    "given",
    [
        lambda _: PICTURE,
        lambda _: Image.fromarray(PICTURE),
        lambda _: Image.fromarray(PICTURE).convert("RGBA"),
        lambda _: Image.fromarray(PICTURE).quantize(),  # a palette
        _in_file,
        lambda folder: str(_in_file(folder)),
        _turned,
    ],
    ids=["array", "Pillow", "with alpha", "palette", "path", "text", "by EXIF"],
)
def test_the_detector_takes_a_picture_however_it_is_given(home: Path, tmp_path: Path, given: Any) -> None:
    found = ew.Run.latest().detector.predict(given(tmp_path))
    assert sorted((one.name, one.xyxy) for one in found) == sorted(FOUND)
    assert all(0.8 < one.score <= 1 for one in found)
    assert (len(found), found[:1], list(found.boxes.class_id)) == (2, [found[0]], [0, 1])
    np.testing.assert_array_equal(found.image, PICTURE)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (PICTURE.astype(np.float32) / 255, r"got \(64, 64, 3\) float32"),
        (PICTURE[:, :, 0], r"got \(64, 64\) uint8"),
        (PICTURE.transpose(2, 0, 1), r"got \(3, 64, 64\) uint8"),
        (None, "got NoneType"),
        ("nowhere.png", "cannot read the picture"),
        (Image.new("CMYK", (4, 4)), r'got CMYK.*image\.convert\("RGB"\)'),
        (Image.new("F", (4, 4)), "got F"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(home: Path, given: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ew.Run.latest().detector.predict(given)


def test_a_notebook_shows_detections_and_the_page(home: Path) -> None:
    run = ew.Run.latest()
    found = run.detector.predict(PICTURE)
    assert found._repr_png_().startswith(b"\x89PNG")
    assert np.any(np.asarray(found.drawn()) != PICTURE)
    page = home / "report.html"
    page.write_text('<p class="a">7 < 8 & so on</p>')
    run.journal.update(report=str(page))
    shown = run.report._repr_html_()
    assert 'srcdoc="&lt;p class=&quot;a&quot;&gt;7 &lt; 8 &amp; so on&lt;/p&gt;"' in shown
    assert (os.fspath(run.report), run.report.path) == (str(page), page)


def test_what_the_run_has_not_made_is_named(home: Path) -> None:
    run = ew.Run.latest()
    with pytest.raises(ArtifactMissing, match=f"no page.*edgewright report {run.id}"):
        _ = run.report
    run.journal.update(refs={}, status="interrupted")
    with pytest.raises(ArtifactMissing, match=r"no result of quantize.*interrupted"):
        _ = ew.Run.open(run.id).detector
    with pytest.raises(ArtifactMissing, match="no such run"):
        ew.Run.open("1999")


def test_looking_makes_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "none"))
    with pytest.raises(ArtifactMissing, match="edgewright runs"):
        ew.Run.latest()
    assert not (tmp_path / "none").exists()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Twenty labeled photographs; the label of one is a word where a number must stand."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "classes.txt").write_text("red\n")
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("0 0.5 0.5 wide 0.5\n" if number == 7 else "0 0.5 0.5 0.5 0.5\n")
    return folder


def test_inspect_says_what_the_command_says(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(photographs.parent / "none"))
    inspected = ew.inspect(photographs, set={"ingest.min_images": 12})
    first, *others = repr(inspected).splitlines()
    assert "with 19 objects of 1 classes" in first
    assert any("7.png" in line for line in others), "what is left out is named"
    assert inspected._repr_html_().startswith("<iframe sandbox")
    assert sorted(path.name for path in photographs.parent.iterdir()) == ["photos"], "nothing is kept"


def test_what_inspect_proposes_is_what_run_takes(photographs: Path) -> None:
    found = replace(ew.inspect(photographs).found, proposals=("ingest.classes=[a, b]", "ingest.layout=voc"))
    proposed = api.Inspected("photos", found).proposed
    section = resolve("laptop", overrides=list(api._overrides(proposed))).ingest
    assert (section.classes, section.layout) == (("a", "b"), "voc")


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"train_detector.epochs": 3}, "epochs", 3),
        ({"train_detector": {"epochs": 3}}, "epochs", 3),
        ({"train_detector.learning_rate": 1e-5}, "learning_rate", 1e-5),  # YAML 1.1 reads 1e-05 as text
        ({"train_detector.epochs": np.int64(3)}, "epochs", 3),
    ],
)
def test_settings_reach_the_recipe_as_they_are(given: dict[str, Any], field: str, value: object) -> None:
    section = resolve("demo", overrides=list(api._overrides(given))).train_detector
    assert getattr(section, field) == value
    assert section.batch == resolve("demo").train_detector.batch, "a section's other fields stay the preset's"


@pytest.mark.parametrize("value", [Path("photos/ä b"), "no", "😀", "1: 2"])
def test_a_path_or_a_word_is_not_read_as_yaml(value: object) -> None:
    recipe = resolve("demo", overrides=list(api._overrides({"ingest.scores": value})))
    assert recipe.ingest.scores == str(value)


def test_no_source_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "none"))
    with pytest.raises(InputError, match="source is needed"):
        ew.run("laptop")
    assert not (tmp_path / "none").exists()


def test_a_second_home_in_one_process_is_refused(tmp_path: Path) -> None:
    """Prefect and MLflow would go on recording in the first."""
    code = (
        "import os\nfrom pathlib import Path\nfrom edgewright import api\nfrom edgewright.errors import InputError\n"
        "print(api._settings_of_this_process().home == Path('one').resolve())\n"
        "os.environ['EDGEWRIGHT_HOME'] = 'two'\n"
        "try: api._settings_of_this_process()\nexcept InputError as refused: print(refused)"
    )
    environment = {**os.environ, "EDGEWRIGHT_HOME": "one", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    first, refusal = done.stdout.splitlines()
    assert first == "True"
    assert "restart Python" in refusal and str(tmp_path / "two") in refusal
    assert not (tmp_path / "two").exists()


def test_a_missing_package_is_named_with_its_extra() -> None:
    with pytest.raises(MissingExtra, match=r"edgewright\[train\]"), api._extras_named():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")


def test_the_package_names_its_face_and_nothing_else() -> None:
    assert {"Run", "inspect", "run"} <= set(dir(ew))
    assert ew.run is api.run
    with pytest.raises(AttributeError, match="'edgewright' has no attribute 'ran'"):
        _ = ew.ran  # type: ignore[attr-defined]


def test_a_run_may_be_in_another_thread() -> None:
    """Only the main one may say what a signal does; a notebook's widgets and servers use others."""
    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(_signals_within).result() == before


def _signals_within() -> Any:
    with terminate_as_interrupt():
        return signal.getsignal(signal.SIGTERM)
