"""Label files of COCO, CreateML, Pascal VOC and LabelMe, as tools and people write them."""

from __future__ import annotations

import json

from tests.strangers.scene import (
    Box,
    Files,
    Scene,
    Way,
    clean,
    encoded,
    folder_of,
    ordered,
    picture_files,
    picture_names,
    places,
)


def write_coco(scene: Scene, way: Way) -> Files:
    files = picture_files(scene, way)
    stems = list(scene.pictures)
    parts = {"a": stems[::2], "b": stems[1::2]} if way.other == "two files" else {"instances": stems}
    for name, chosen in parts.items():
        files[f"annotations/{name}.json"] = encoded(json.dumps(_coco(scene, way, chosen), ensure_ascii=False), way)
    if way.other == "keypoints":
        document = _coco(scene, way, stems)
        document["annotations"] = [{**item, "keypoints": [0, 0, 0]} for item in document["annotations"][:1]]
        files["annotations/person_keypoints.json"] = encoded(json.dumps(document), way)
    return files


def _coco(scene: Scene, way: Way, stems: list[str]) -> dict[str, list[dict[str, object]]]:
    ids = {
        name: index * (3 if way.ids == "gaps" else 1) + (0 if way.reverse else 1)
        for index, name in enumerate(scene.names)
    }
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for index, stem in enumerate(stems):
        wh, boxes = scene.pictures[stem]
        image_id = index % max(1, len(stems) // 2) if way.ids == "twice" else index
        images.append(
            {"id": _as(image_id, way), "file_name": _file_name(scene, way, stem), "width": wh[0], "height": wh[1]}
        )
        for box in ordered(boxes, way):
            item = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": _as(ids[box[0]], way),
                "iscrowd": 0,
            }
            annotations.append(item | _coco_box(box, wh, way, len(annotations)))
    categories: list[dict[str, object]] = [
        {"id": ids[name], "name": name, "supercategory": "parts"} for name in scene.names
    ]
    if way.other == "group":
        categories.append({"id": 99, "name": "parts", "supercategory": "none"})
    return {"images": images, "annotations": annotations, "categories": categories[::-1] if way.reverse else categories}


def _coco_box(box: Box, wh: tuple[int, int], way: Way, index: int) -> dict[str, object]:
    _, x1, y1, x2, y2 = box
    numbers: list[float] = {
        "own": [x1, y1, x2 - x1, y2 - y1],
        "corners": [x1, y1, x2, y2],
        "center": [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1],
        "shares": [x1 / wh[0], y1 / wh[1], (x2 - x1) / wh[0], (y2 - y1) / wh[1]],
    }[way.frame]
    polygon = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    if way.other == "no bbox" and index % 2:
        return {"segmentation": polygon}
    if way.other == "negative" and index % 2:
        numbers = [x2, y2, x1 - x2, y1 - y2]
    bbox = [str(value) for value in numbers] if way.ids == "strings" else numbers
    return {"bbox": bbox, "segmentation": None if way.other == "null" else polygon if way.other == "polygons" else []}


def _file_name(scene: Scene, way: Way, stem: str) -> str:
    name = picture_names(scene, way)[stem]
    last = name.rpartition("/")[2]
    forms = {"windows": "C:\\data\\" + name.replace("/", "\\"), "absolute": f"/data/{name}", "last part": last}
    return forms.get(way.other, name)


def _as(value: int, way: Way) -> object:
    return {"strings": str(value), "float": float(value)}.get(way.ids, value)


def write_createml(scene: Scene, way: Way) -> Files:
    items = []
    for stem, (wh, boxes) in scene.pictures.items():
        found = []
        for name, x1, y1, x2, y2 in ordered(boxes, way):
            numbers = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
            if way.frame == "shares":
                numbers = [value / side for value, side in zip(numbers, wh * 2, strict=True)]
            values = [str(value) if way.ids == "strings" else value for value in numbers]
            found.append({"label": name, "coordinates": dict(zip(("x", "y", "width", "height"), values, strict=True))})
        items.append({"image": _file_name(scene, way, stem), "annotations": found})
    text = json.dumps(items[::-1] if way.reverse else items, ensure_ascii=False)
    return picture_files(scene, way) | {"_annotations.createml.json": encoded(text, way)}


def write_voc(scene: Scene, way: Way) -> Files:
    files = picture_files(scene, way)
    for index, (stem, (image, label)) in enumerate(places(scene, way).items()):
        wh, boxes = scene.pictures[stem]
        objects = "".join(_voc_object(box, wh, way) for box in ordered(boxes, way))
        size = f"<size><width>{wh[0]}</width><height>{wh[1]}</height></size>" if way.other != "no size" else ""
        declared = f'<?xml version="1.0" encoding="{way.encoding}"?>' if way.other == "declared" else ""
        named = f"<filename>{image.rpartition('/')[2]}.jpg</filename>"
        text = f"{declared}<annotation>{named}{size}{objects}</annotation>"
        place = {"full name": f"{label}.jpg.xml", "renamed": f"{folder_of(label)}/n{index}.xml"}.get(
            way.other, f"{label}.xml"
        )
        files[clean(place)] = encoded(text, way)
    return files


def _voc_object(box: Box, wh: tuple[int, int], way: Way) -> str:
    name, *corners = box
    numbers: list[float] = list(corners)
    if way.frame == "shares":
        numbers = [value / side for value, side in zip(corners, wh * 2, strict=True)]
    tags = zip(("xmin", "ymin", "xmax", "ymax"), numbers, strict=True)
    inner = "".join(f"<{tag}>{float(value) if way.ids == 'float' else value}</{tag}>" for tag, value in tags)
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    escaped = name.replace("&", "&amp;")
    return f"<object><name>{escaped}</name><bndbox>{inner}</bndbox>{part if way.other == 'parts' else ''}</object>"


def write_labelme(scene: Scene, way: Way) -> Files:
    files = picture_files(scene, way)
    for index, (stem, (image, label)) in enumerate(places(scene, way).items()):
        wh, boxes = scene.pictures[stem]
        document = {
            "version": "5.4.1",
            "shapes": [_shape(box, way) for box in ordered(boxes, way)],
            "imagePath": f"..\\x\\{image.rpartition('/')[2]}.jpg",
            "imageData": "QUJD" * 9000 if way.other == "data" else None,
            "imageHeight": wh[1],
            "imageWidth": wh[0],
        }
        place = f"{folder_of(label)}/n{index}.json" if way.other == "renamed" else f"{label}.json"
        files[clean(place)] = encoded(json.dumps(document, ensure_ascii=False), way)
    return files


def _shape(box: Box, way: Way) -> dict[str, object]:
    name, x1, y1, x2, y2 = box
    points: list[list[float]] = [[x2, y1], [x1, y2]] if way.other == "flipped" else [[x1, y1], [x2, y2]]
    kind = "rectangle"
    if way.other == "polygon":
        kind, points = "polygon", [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
    return {"label": name, "points": points, "shape_type": kind, "group_id": None}
