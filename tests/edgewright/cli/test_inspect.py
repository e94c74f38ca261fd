"""Sources as strangers bring them, at the command line: the exit code, and what a person is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from edgewright.cli.frame import main

Told = tuple[int, str, str]


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """Exit code, stdout and stderr of `edgewright …`, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EDGEWRIGHT_THREADS", "2")

    def run(*words: str) -> Told:
        with pytest.raises(SystemExit) as ended:
            main(words)
        said = capsys.readouterr()
        assert not (tmp_path / "home").exists(), "no store, no server, no run"
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.real
@pytest.mark.parametrize(
    ("case", "sentences"),
    [
        (
            "y01_roboflow_split",
            [
                "72 pictures with 144 objects of 2 classes; 6 to choose by and 6 to test on.",
                "split by  the source: data.yaml",
                "splits    train 60, val 6, test 6",
                "objects   144: bolt 72, nut 72",
            ],
        ),
        ("v04_imagesets", ["split by  the source: ImageSets/Main/train.txt", "labels    voc, in Annotations/"]),
        ("y09_yaml_on_off", ["1 YAML file that names the same pictures for train and for val: no split"]),
    ],
)
def test_what_is_told_of_a_source(cases: Path, typed: Callable[..., Told], case: str, sentences: list[str]) -> None:
    code, out, _ = typed("inspect", str(cases / "src" / case))
    assert code == 0
    assert [sentence for sentence in sentences if sentence not in out] == []
    assert Path("inspect.html").read_text().startswith("<!doctype html>")


@pytest.mark.real
def test_a_leak_is_shown_and_its_cure_proposed(cases: Path, typed: Callable[..., Told], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(cases / "src" / "v04_imagesets", tmp_path / "set"))
    for name in ("JPEGImages/p000.jpg", "Annotations/p000.xml"):
        shutil.copy(folder / name, folder / name.replace("p000", "p999"))
    with (folder / "ImageSets/Main/test.txt").open("a") as listed:
        listed.write("p999\n")
    code, out, _ = typed("inspect", str(folder), "--json")
    told = json.loads(out)
    assert (code, told["n_leaks"], told["error"]) == (0, 1, None)
    assert told["leaks"][0]["why"] == "the same file"
    assert told["proposals"] == ["ingest.leaks=move"]
    assert told["command"].endswith("--set ingest.leaks=move")
    assert "train and test, the same file: JPEGImages/p000.jpg, JPEGImages/p999.jpg" in Path("inspect.html").read_text()
    moved = json.loads(typed("inspect", str(folder), "--json", "--set", "ingest.leaks=move")[1])
    assert moved["splits"]["test"]["images"] == told["splits"]["test"]["images"] + 1
    assert moved["proposals"] == []


@pytest.fixture
def unusable(tmp_path: Path) -> Path:
    """Twelve pictures, each with a label file that says nothing."""
    for number in range(12):
        for name in ("images", "labels"):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
        PillowImage.effect_mandelbrot((64, 48), (-2 + number / 9, -1, 1, 1), 50).convert("RGB").save(
            tmp_path / f"set/images/{number}.jpg"
        )
        (tmp_path / f"set/labels/{number}.txt").write_text("0 0.5 0.5 0 0\n")
    (tmp_path / "set/data.yaml").write_text("names: [bolt]\n")
    return tmp_path / "set"


def test_what_would_end_a_run_is_said_and_the_page_is_written(unusable: Path, typed: Callable[..., Told]) -> None:
    code, out, _ = typed("inspect", str(unusable), "--out", "page.html")
    assert code == 0
    assert out.startswith("A run would end at ingest: not one label could be used.")
    assert "12 boxes left out: zero-area box, e.g. images/0.jpg#box0" in out
    assert "A run would end at ingest" in Path("page.html").read_text()


def test_a_source_that_is_not_there(typed: Callable[..., Told]) -> None:
    code, _, err = typed("inspect", "nowhere")
    assert (code, "the source cannot be read" in err) == (2, True)


def test_what_only_a_run_can_fetch(typed: Callable[..., Told]) -> None:
    code, _, err = typed("inspect", "s3://bucket/photos")
    assert (code, "inspect reads what lies on this machine" in err) == (2, True)


def test_a_video_needs_labels(typed: Callable[..., Told], tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    np = pytest.importorskip("numpy")
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for number in range(120):
        small = np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)
        writer.write(cv2.resize(small, (96, 64)))
    writer.release()
    code, out, _ = typed("inspect", str(tmp_path / "clip.avi"))
    assert code == 0
    assert "12 pictures and no labels: a detector needs some." in out
    assert "next: edgewright inspect " in out, "a run would find nothing to learn from"
    assert "no labels: a detector needs some" in Path("inspect.html").read_text()
