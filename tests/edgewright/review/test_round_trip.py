"""Out to a labeling tool and back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgewright.artifacts import Content, Record, Store
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.data.rows import Label, Row
from edgewright.errors import InputError
from edgewright.label.trust.suspects import Suspect, Suspicion
from edgewright.review.formats import REVIEW_FORMATS
from edgewright.review.formats.annotated import key_of
from edgewright.review.queue import Proposals
from edgewright.review.round_trip import ImportReport, export_review, import_review

Publish = Callable[..., Dataset]
MakeScene = Callable[..., tuple[Row, bytes]]
Take = Callable[..., tuple[ImportReport, dict[str, Row]]]
Found = list[dict[str, Any]]

A, B, C = (4.125, 4.25, 20.5, 24.75), (30.0, 8.0, 50.0, 28.0), (10.0, 40.0, 30.0, 60.0)
MODEL = "f" * 64
FILES = {"label-studio": "tasks.json", "coco": "annotations.json", "cvat": "annotations.xml"}


def label(xyxy: tuple[float, float, float, float], class_id: int = 0, **changes: Any) -> Label:
    return Label(0, class_id, xyxy, **changes)


@pytest.fixture(scope="module")
def doubtful(publish: Publish, scene: MakeScene) -> Dataset:
    """Four pictures: one with a kept and a doubtful label, one pseudo-labeled, one a person's own, one lost."""
    kept, ignored = label(A, source="constructed"), label(C, ignore=True, source="constructed")
    doubted = label(B, 1, source="review", ignore=True, confidence=0.35, model=MODEL)
    changes = {"origin": "synthetic", "state": "constructed", "split": "train"}
    return publish(
        [
            scene(1, labels=(kept, ignored, doubted), **changes),
            scene(2, labels=(label(A, source="labeler", confidence=0.8, model=MODEL),), state="model", split="train"),
            scene(3, split="train"),
            scene(4, state="unlabeled", labels=(), split="train"),
        ],
        quarantined=[replace(scene(9)[0], quarantine="lost", labels=())],
    )


@pytest.fixture
def take(store: Store) -> Take:
    """`take(dataset, file, …) -> (report, rows by id)`."""

    def take_review(dataset: Dataset, path: Path, **options: Any) -> tuple[ImportReport, dict[str, Row]]:
        with store.workspace() as work:
            writer = DatasetWriter(work, classes=dataset.classes)
            report = import_review(dataset, path, writer=writer, **options)
            writer.finish()
            ref = store.publish(work, Content(kind="dataset_real", stage="review"), Record())
        return report, {row.id: row for row in Dataset.open(store, ref).rows}

    return take_review


def answer_label_studio(folder: Path, change: Callable[[Found], Found] = lambda boxes: boxes, **facts: object) -> Path:
    """What Label Studio exports when every prediction was submitted."""
    tasks = json.loads((folder / "tasks.json").read_text())
    facts = {"completed_by": {"id": 3, "email": "ann@lab.org"}, "updated_at": "2026-05-04T10:00:00.5Z", **facts}
    for number, task in enumerate(tasks):
        (prediction,) = task["predictions"]
        task["annotations"] = [{"id": number, "result": change(prediction["result"]), "was_cancelled": False, **facts}]
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return path


def answered(folder: Path, kind: str) -> Path:
    return answer_label_studio(folder) if kind == "label-studio" else folder / FILES[kind]


@pytest.mark.parametrize("kind", REVIEW_FORMATS)
def test_the_most_doubtful_pictures_come_first(doubtful: Dataset, tmp_path: Path, kind: str) -> None:
    report = export_review(doubtful, out=tmp_path / "all", format=kind, limit=10)
    assert (report.doubtful, report.images, report.boxes) == (2, 2, 3)
    assert report.lowest_confidence == pytest.approx(0.35)
    names = sorted(path.name for path in (tmp_path / "all" / "images").iterdir())
    assert [re.search("_([0-9a-f]{16})__", name)[1] for name in names] == [key_of("scene-001"), key_of("scene-002")]
    assert (tmp_path / "all" / "images" / names[0]).read_bytes() == doubtful.payload(doubtful.rows[0])
    first = export_review(doubtful, out=tmp_path / "one", format=kind, limit=1)
    assert (first.doubtful, first.images, first.boxes) == (2, 1, 2)
    text = (tmp_path / "one" / FILES[kind]).read_text()
    assert names[0] in text and names[1] not in text


@pytest.mark.parametrize("kind", REVIEW_FORMATS)
def test_an_unchanged_file_gives_the_boxes_that_were_shown(
    doubtful: Dataset, tmp_path: Path, take: Take, kind: str
) -> None:
    export_review(doubtful, out=tmp_path / "out", format=kind, limit=10)
    report, rows = take(doubtful, answered(tmp_path / "out", kind), person="ann@lab.org")
    assert (report.reviewed, report.kept, report.persons) == (2, 3, ("ann@lab.org",))
    assert (report.moved, report.renamed, report.added, report.removed) == (0, 0, 0, 0)
    before = {row.id: row for row in doubtful.rows}
    one = rows["scene-001"]
    assert one.state == "reviewed"
    assert [(each.class_id, each.xyxy, each.ignore) for each in one.labels] == [
        (0, A, False),
        (1, B, False),
        (0, C, True),
    ]
    assert [each.instance_id for each in one.labels] == [0, 1, 2]
    assert [each.model for each in one.labels] == ["", MODEL, ""]
    assert [each.person for each in one.labels] == ["ann@lab.org", "ann@lab.org", ""]  # the last one nobody was shown
    assert [each.source for each in one.labels] == ["reviewed", "reviewed", "constructed"]
    for name in ("scene-003", "scene-004", "scene-009"):
        assert rows[name] == before[name]


def test_what_a_person_changed_is_kept_with_who_and_when(doubtful: Dataset, tmp_path: Path, take: Take) -> None:
    def change(boxes: Found) -> Found:
        for box in boxes:
            box["value"]["x"] += 5  # 3.2 px
            box["value"]["rectanglelabels"] = ["bar"]
        return [
            *boxes,
            {**boxes[0], "value": {"x": 0, "y": 90, "width": 10, "height": 10, "rectanglelabels": ["disk"]}},
        ]

    export_review(doubtful, out=tmp_path / "out", format="label-studio", limit=10)
    report, rows = take(doubtful, answer_label_studio(tmp_path / "out", change))
    assert (report.kept, report.moved, report.renamed, report.added, report.removed) == (0, 1, 2, 2, 0)
    moved = rows["scene-001"].labels[1]
    assert moved.xyxy == pytest.approx((33.2, 8, 53.2, 28))
    assert moved.replaced_xyxy == B
    assert (moved.person, moved.reviewed_at) == ("ann@lab.org", "2026-05-04T10:00:00.500000+00:00")
    assert moved.confidence == 1
    assert rows["scene-002"].labels[1].xyxy == pytest.approx((0, 57.6, 6.4, 64))


def test_an_empty_answer_is_a_background_picture(doubtful: Dataset, tmp_path: Path, take: Take) -> None:
    export_review(doubtful, out=tmp_path / "out", format="label-studio", limit=10)
    report, rows = take(doubtful, answer_label_studio(tmp_path / "out", lambda boxes: []))
    assert (report.reviewed, report.removed) == (2, 3)
    assert rows["scene-002"].labels == ()
    assert rows["scene-002"].state == "reviewed"


def test_pictures_that_nobody_answered_stay_as_they_are(doubtful: Dataset, tmp_path: Path, take: Take) -> None:
    export_review(doubtful, out=tmp_path / "out", format="label-studio", limit=10)
    report, rows = take(doubtful, answer_label_studio(tmp_path / "out", was_cancelled=True))
    assert (report.reviewed, report.untouched) == (0, 2)
    assert tuple(rows.values()) == doubtful.rows


@pytest.mark.parametrize(("said", "person"), [(7, "label-studio:7"), ({"id": 7}, "label-studio:7"), (None, "bob")])
def test_the_person_is_who_the_file_names_else_who_is_given(
    doubtful: Dataset, tmp_path: Path, take: Take, said: str, person: str
) -> None:
    export_review(doubtful, out=tmp_path / "out", format="label-studio", limit=1)
    report, _ = take(doubtful, answer_label_studio(tmp_path / "out", completed_by=said), person="bob")
    assert report.persons == (person,)


@pytest.mark.parametrize("kind", REVIEW_FORMATS)
def test_nobody_is_invented(doubtful: Dataset, tmp_path: Path, take: Take, kind: str) -> None:
    export_review(doubtful, out=tmp_path / "out", format=kind, limit=10)
    path = answered(tmp_path / "out", kind)
    if kind == "label-studio":
        path = answer_label_studio(tmp_path / "out", completed_by=None)
    with pytest.raises(InputError, match=r"does not say who answered.*--person"):
        take(doubtful, path)


def test_suspects_are_shown_with_what_was_overlooked(doubtful: Dataset, tmp_path: Path, take: Take) -> None:
    suspects = [
        Suspect("scene-003", 1, Suspicion.SWAPPED, 1, B, doubt=0.9),
        Suspect("scene-003", -1, Suspicion.OVERLOOKED, 0, C, doubt=0.85),
    ]
    proposals = Proposals(suspects=suspects, model=MODEL)
    report = export_review(doubtful, out=tmp_path / "out", format="label-studio", limit=10, proposals=proposals)
    assert report.lowest_confidence == pytest.approx(0.1)
    task = json.loads((tmp_path / "out" / "tasks.json").read_text())[0]
    assert task["data"]["row_id"] == "scene-003"
    assert task["data"]["why"] == "1 overlooked, 1 swapped"
    assert len(task["predictions"][0]["result"]) == 3 + 1
    path = answer_label_studio(tmp_path / "out")
    report, rows = take(doubtful, path, proposals=proposals)
    assert (report.added, report.removed) == (0, 0)
    assert (rows["scene-003"].labels[-1].xyxy, rows["scene-003"].labels[-1].model) == (C, MODEL)


def test_proposals_for_unlabeled_photographs_come_back_with_their_model(
    doubtful: Dataset, tmp_path: Path, take: Take
) -> None:
    row = next(row for row in doubtful.rows if row.id == "scene-004")
    proposal = replace(row, state="model", labels=(label(B, 1, source="labeler", confidence=0.1, model=MODEL),))
    proposals = Proposals({row.id: proposal})
    export_review(doubtful, out=tmp_path / "out", format="coco", limit=1, proposals=proposals)
    report, rows = take(doubtful, tmp_path / "out" / "annotations.json", person="ann", proposals=proposals)
    assert (report.reviewed, report.kept) == (1, 1)
    assert [(each.xyxy, each.model, each.person) for each in rows["scene-004"].labels] == [(B, MODEL, "ann")]
    assert rows["scene-002"].state == "model"


def test_a_mask_stays_where_its_box_does(publish: Publish, scene: MakeScene, tmp_path: Path, take: Take) -> None:
    masked = label(A, source="labeler", mask="4096", confidence=0.5, model=MODEL)
    dataset = publish([scene(1, labels=(masked,), state="model", split="train")])
    export_review(dataset, out=tmp_path / "out", format="cvat", limit=1)
    path = tmp_path / "out" / "annotations.xml"
    assert take(dataset, path, person="ann")[1]["scene-001"].labels[0].mask == "4096"
    path.write_text(path.read_text().replace('xtl="4.1250"', 'xtl="5.1"'))
    assert take(dataset, path, person="ann")[1]["scene-001"].labels[0].mask == ""


corner = st.tuples(*[st.floats(0, 50)] * 2, *[st.floats(0.5, 14)] * 2)
drawn = st.lists(
    st.tuples(corner, st.integers(0, 1), st.floats(0, 1)).map(
        lambda at: label(
            (at[0][0], at[0][1], at[0][0] + at[0][2], at[0][1] + at[0][3]), at[1], source="labeler", confidence=at[2]
        )
    ),
    max_size=4,
)


@given(drawn, st.sampled_from(REVIEW_FORMATS))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_boxes_survive_the_round_trip(
    publish: Publish,
    scene: MakeScene,
    store: Store,
    tmp_path_factory: pytest.TempPathFactory,
    labels: tuple[Label, ...],
    kind: str,
) -> None:
    labels = tuple(replace(each, instance_id=index) for index, each in enumerate(labels))
    dataset = publish([scene(1, id="cam/ü 1.png", labels=labels, state="model", split="train")])
    folder = tmp_path_factory.mktemp("review")
    export_review(dataset, out=folder, format=kind, limit=1)
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=dataset.classes)
        report = import_review(dataset, answered(folder, kind), person="ann", writer=writer)
        (row,) = writer.finish()
    assert [(each.class_id, each.xyxy) for each in row.labels] == [
        (each.class_id, pytest.approx(each.xyxy, abs=0.02)) for each in labels
    ]
    assert (report.added, report.removed) == (0, 0)


def test_a_folder_with_something_in_it_is_refused(doubtful: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(InputError, match="not empty"):
        export_review(doubtful, out=tmp_path, format="coco", limit=1)
    with pytest.raises(InputError, match="unknown review format"):
        export_review(doubtful, out=tmp_path / "new", format="word", limit=1)


def test_nothing_to_review_is_said(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to review"):
        export_review(publish([scene(1)]), out=tmp_path / "out", format="coco", limit=1)


KEY = key_of("scene-002")
COCO = {
    "images": [{"id": 1, "file_name": f"1_{KEY}__x.png"}],
    "categories": [{"id": 1, "name": "disk"}],
    "annotations": [],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": [{"id": 1, "file_name": "../../etc/passwd"}]}, "pictures that the data set does not have.*passwd"),
        ({"images": [{"id": 1, "file_name": f"{KEY[:-1]}0__x.png"}]}, "pictures that the data set does not have"),
        ({"images": COCO["images"] + [{"id": 2, "file_name": f"2_{KEY}__x.png"}]}, "two answers for one picture"),
        ({"annotations": [{"image_id": 1, "category_id": 5, "bbox": [0, 0, 5, 5]}]}, "classes that.*category 5"),
        ({"annotations": [{"image_id": 8, "category_id": 1, "bbox": [0, 0, 5, 5]}]}, "not listed"),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5]}]}, "not a coco file"),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [0, 0, float("nan"), 5]}]}, "not a finite number"),
        ({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [100, 100, 9, 9]}]}, "without an area"),
        ({"annotations": [{"image_id": 1e400, "category_id": 1, "bbox": [0, 0, 5, 5]}]}, "not a coco file"),
        ({"categories": [{"id": 1, "name": "ring"}]}, ""),  # a class that no box has does no harm
    ],
)
def test_answers_that_do_not_fit_are_refused_by_name(
    doubtful: Dataset, tmp_path: Path, take: Take, changes: dict[str, object], said: str
) -> None:
    path = tmp_path / "answers.json"
    path.write_text(json.dumps({**COCO, **changes}))
    if not said:
        assert take(doubtful, path, person="ann")[0].reviewed == 1
        return
    with pytest.raises(InputError, match=said):
        take(doubtful, path, person="ann")


BOMB = b'<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><annotations>&c;</annotations>'


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (BOMB, "DOCTYPE"),
        (b"<annotations><image", "not XML"),
        (b"<svg/>", "not a CVAT for images file"),
        (b"<annotations><track/></annotations>", "not a CVAT for images file"),
        (f'<annotations><image name="{KEY}__x"><polygon/></image></annotations>'.encode(), "not a box.*polygon"),
        (f'<annotations><image name="{KEY}__x"><box label="disk"/></image></annotations>'.encode(), "not a cvat file"),
        (b"[" * 100_000, "not a label-studio file"),
        (b"{}", "not a coco file"),
        (b"", "not a coco file"),
        (b"[3]", "not a label-studio file"),
        (b'[{"image": "x", "label": []}]', "JSON-MIN"),
        (b"\xff\xfe\x00", "not a coco file"),
    ],
)
def test_hostile_files_are_refused(doubtful: Dataset, tmp_path: Path, take: Take, payload: bytes, said: str) -> None:
    path = tmp_path / "answers"
    path.write_bytes(payload)
    with pytest.raises(InputError, match=said):
        take(doubtful, path, person="ann")


def test_large_and_missing_files_are_refused(
    doubtful: Dataset, tmp_path: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        take(doubtful, tmp_path / "nothing.json")
    monkeypatch.setattr("edgewright.review.formats.document.MAX_REVIEW_BYTES", 10)
    (tmp_path / "large.json").write_text("[" + " " * 20 + "]")
    with pytest.raises(InputError, match="too large"):
        take(doubtful, tmp_path / "large.json")


def test_a_file_of_another_format_than_named_is_refused(doubtful: Dataset, tmp_path: Path, take: Take) -> None:
    (tmp_path / "x.json").write_text(json.dumps(COCO))
    with pytest.raises(InputError, match=r"another format.*label-studio.*coco"):
        take(doubtful, tmp_path / "x.json", format="label-studio")


def test_who_annotated_in_cvat_is_the_assignee_not_the_owner(doubtful: Dataset, tmp_path: Path, take: Take) -> None:
    export_review(doubtful, out=tmp_path / "out", format="cvat", limit=1)
    path = tmp_path / "out" / "annotations.xml"
    owner = "<owner><username>boss</username></owner>"
    path.write_text(path.read_text().replace("<mode>", f"{owner}<mode>"))
    with pytest.raises(InputError, match="who answered"):
        take(doubtful, path)
    assignee = "<assignee><username>ann</username><email/></assignee><updated>2026-05-04 10:00:00+02:00</updated>"
    path.write_text(path.read_text().replace("<mode>", f"{assignee}<mode>"))
    report, rows = take(doubtful, path)
    assert report.persons == ("ann",)
    assert rows["scene-001"].labels[0].reviewed_at == "2026-05-04T08:00:00+00:00"


def test_a_turned_rectangle_is_the_box_around_it(doubtful: Dataset, tmp_path: Path, take: Take) -> None:
    def turn(boxes: Found) -> Found:
        value = {"x": 50, "y": 25, "width": 25, "height": 12.5, "rotation": 90, "rectanglelabels": ["disk"]}
        return [{**boxes[0], "value": value}]

    export_review(doubtful, out=tmp_path / "out", format="label-studio", limit=1)
    _, rows = take(doubtful, answer_label_studio(tmp_path / "out", turn))
    assert rows["scene-001"].labels[0].xyxy == pytest.approx((24, 16, 32, 32))


def test_the_label_studio_configuration_names_every_class(publish: Publish, scene: MakeScene, tmp_path: Path) -> None:
    labels = (label(A, source="labeler", confidence=0.5),)
    dataset = publish([scene(1, labels=labels, state="model", split="train")], classes=('<a> & "b"', "bar"))
    export_review(dataset, out=tmp_path / "my project", format="label-studio", limit=1)
    import xml.etree.ElementTree as ET

    root = ET.parse(tmp_path / "my project" / "label_config.xml")
    assert [node.get("value") for node in root.iter("Label")] == ['<a> & "b"', "bar"]
    (task,) = json.loads((tmp_path / "my project" / "tasks.json").read_text())
    assert task["data"]["image"].startswith("/data/local-files/?d=my%20project/images/00001_")
    value = task["predictions"][0]["result"][0]["value"]
    assert (value["x"], value["width"]) == pytest.approx((100 * 4.125 / 64, 100 * 16.375 / 64))
