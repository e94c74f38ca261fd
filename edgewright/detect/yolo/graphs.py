"""Which network is trained: a graph of our table, or what the user names. Decides nothing about weights.

`edgewright-slim` is the YOLOv5u graph (C3 blocks, anchor-free head) at a free width with ReLU; `yolo11-slim` and
`yolo26-slim` are those that the installed ultralytics carries, likewise. At width 0.1875 the first one's INT8 file is
1.8 MB, where no stock nano model is under 2.4 MB; ReLU keeps what INT8 gains in speed and SiLU eats it.

>>> slim_graph(width=0.1875, n_classes=3)["width_multiple"]
0.1875
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgewright.detect.graph_file import read_graph
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import InputError

Graph = dict[str, Any]
"""What ultralytics' graph files hold: `backbone` and `head` as lists of [from, repeats, module, arguments]."""

SLIM = "edgewright-slim"
_CARRIED = {"yolo11-slim": "yolo11n.yaml", "yolo26-slim": "yolo26n.yaml"}
_RELU = "torch.nn.ReLU()"
_NEVER_PUBLISHED = ("yaml_file", "channels")  # a path of this machine; what the constructor fills in by itself

_BACKBONE = [
    # from, repeats, module, [channels, kernel, stride, padding]
    [-1, 1, "Conv", [64, 6, 2, 2]],  # 0   1/2
    [-1, 1, "Conv", [128, 3, 2]],  # 1     1/4
    [-1, 3, "C3", [128]],
    [-1, 1, "Conv", [256, 3, 2]],  # 3     1/8
    [-1, 6, "C3", [256]],
    [-1, 1, "Conv", [512, 3, 2]],  # 5     1/16
    [-1, 9, "C3", [512]],
    [-1, 1, "Conv", [1024, 3, 2]],  # 7    1/32
    [-1, 3, "C3", [1024]],
    [-1, 1, "SPPF", [1024, 5]],  # 9
]
_HEAD = [
    [-1, 1, "Conv", [512, 1, 1]],  # 10
    [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
    [[-1, 6], 1, "Concat", [1]],
    [-1, 3, "C3", [512, False]],  # 13
    [-1, 1, "Conv", [256, 1, 1]],  # 14
    [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
    [[-1, 4], 1, "Concat", [1]],
    [-1, 3, "C3", [256, False]],  # 17     1/8, small objects
    [-1, 1, "Conv", [256, 3, 2]],
    [[-1, 14], 1, "Concat", [1]],
    [-1, 3, "C3", [512, False]],  # 20     1/16
    [-1, 1, "Conv", [512, 3, 2]],
    [[-1, 10], 1, "Concat", [1]],
    [-1, 3, "C3", [1024, False]],  # 23    1/32, large objects
    [[17, 20, 23], 1, "Detect", ["nc"]],
]


def slim_graph(*, width: float, n_classes: int) -> Graph:
    """YOLOv5u at depth 0.33 and the given width multiple, ReLU."""
    return {
        "nc": n_classes,
        "depth_multiple": 0.33,
        "width_multiple": width,
        "activation": _RELU,
        "backbone": _BACKBONE,
        "head": _HEAD,
    }


def find_graph(model: str, *, width: float, n_classes: int) -> Graph:
    """The graph that `model` names: ours, a graph file, or one that ultralytics carries (`yolo26n`, `yolo11s.yaml`).

    Raises:
        InputError: no such graph, or a file that is no graph.
    """
    if model == SLIM:
        return slim_graph(width=width, n_classes=n_classes)
    if model in _CARRIED:
        whole = find_graph(_CARRIED[model], width=width, n_classes=n_classes)
        parts = {name: value for name, value in whole.items() if name not in ("scales", "scale")}
        return {**parts, "depth_multiple": 0.5, "width_multiple": width, "activation": _RELU}
    load = open_ultralytics("nn.tasks").yaml_model_load
    try:
        graph = (
            require_graph(read_graph(Path(model)), where=Path(model))
            if Path(model).is_file()
            else load(Path(model).with_suffix(".yaml"))
        )
    except (FileNotFoundError, RuntimeError) as error:
        raise InputError(
            "unknown detector",
            expected=f"{', '.join((SLIM, *_CARRIED))}, an ultralytics name as yolo26n, or a file",
            got=model,
        ) from error
    return {**graph, "nc": n_classes}


def published(graph: Graph) -> Graph:
    """Without anything of this machine in it."""
    return {name: value for name, value in graph.items() if name not in _NEVER_PUBLISHED}


def require_graph(graph: Graph, *, where: Path | None = None) -> Graph:
    """Raises InputError for one without a backbone or a head."""
    if not {"backbone", "head"} <= graph.keys():
        raise InputError("not a graph file", expected="backbone and head", where=where)
    return graph
