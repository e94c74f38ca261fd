"""Random small data sets, and the label files that a stranger would bring of them, in every format and many ways.

A `Scene` is what is true. Each format has its `ways`, a table of what people and tools do otherwise; `write_*` takes
one way and gives the files, by name. Pictures are empty files: readers of labels never open them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.strangers.others import write_coco, write_createml, write_labelme, write_voc
from tests.strangers.scene import ENCODINGS, FOLDERS, Files, Scene, Way
from tests.strangers.yolo import write_yolo

Write = Callable[[Scene, Way], Files]
_COMMON: tuple[dict[str, object], ...] = (
    *({"folders": folders} for folders in FOLDERS),
    *({"encoding": encoding} for encoding in ENCODINGS),
    *({key: True} for key in ("repeats", "reverse", "splits", "clutter")),
    {"before": "\n \r\n"},
)
_YOLO: tuple[dict[str, object], ...] = (
    *({"separator": separator} for separator in ("\t", "  ", ",", ";", ", ", " ;", ":")),
    *({"end": end} for end in ("\r\n", "\r", "\n\n", " \n")),
    *({"ids": ids} for ids in ("float", "text", "from 1")),
    *({"lists": lists} for lists in ("dict", "nested", "beside", "by folder", "against")),
    *({"frame": frame} for frame in ("corners", "top left", "px")),
    *(
        {"columns": columns, "told": told}
        for columns in ("confidence", "angle", "track", "pose2", "pose3", "pose3 of four", "polygon", "obb", "mixture")
        for told in (True, False)
    ),
    {"columns": "points"},
    *({"other": "decimal comma", "separator": separator} for separator in (" ", ";", ",")),
)
_COCO: tuple[dict[str, object], ...] = (
    *({"ids": ids} for ids in ("strings", "float", "twice", "gaps")),
    *({"frame": frame} for frame in ("corners", "center", "shares")),
    *({"other": other} for other in ("two files", "keypoints", "group", "no bbox", "negative", "null", "polygons")),
    *({"other": other} for other in ("windows", "absolute", "last part")),
)
_VOC: tuple[dict[str, object], ...] = (
    {"ids": "float"},
    {"frame": "shares"},
    *({"other": other} for other in ("no size", "full name", "renamed", "parts", "declared")),
    *({"other": "declared", "encoding": encoding} for encoding in ("latin-1", "gb18030", "shift_jis", "utf-16")),
)
_LABELME: tuple[dict[str, object], ...] = (*({"other": other} for other in ("data", "flipped", "polygon", "renamed")),)
_CREATEML: tuple[dict[str, object], ...] = ({"ids": "strings"}, {"frame": "shares"}, {"other": "windows"})
FORMATS: Mapping[str, tuple[Write, tuple[dict[str, object], ...]]] = {
    "yolo": (write_yolo, _YOLO + _COMMON),
    "coco": (write_coco, _COCO + _COMMON),
    "voc": (write_voc, _VOC + _COMMON),
    "labelme": (write_labelme, _LABELME + _COMMON),
    "createml": (write_createml, _CREATEML + _COMMON),
}
