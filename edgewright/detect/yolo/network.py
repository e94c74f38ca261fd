"""A YOLO graph as ultralytics' module. Refuses a graph that cannot be built.

>>> from edgewright.detect.yolo.graphs import slim_graph
>>> layout_of(build_module(slim_graph(width=0.125, n_classes=2), n_classes=2))
'dense'
"""

from __future__ import annotations

from typing import Any

from edgewright.detect.yolo.graphs import Graph
from edgewright.detect.yolo.library import open_ultralytics
from edgewright.errors import InputError


def build_module(graph: Graph, *, n_classes: int) -> Any:
    """The graph as an untrained ultralytics module. Raises InputError where it cannot be built."""
    model_class = open_ultralytics("nn.tasks").DetectionModel
    try:
        return prefer_end_to_end(model_class(dict(graph), ch=3, nc=n_classes, verbose=False))
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        raise InputError("the graph cannot be built", got=error) from error


def prefer_end_to_end(module: Any) -> Any:
    """A graph with two heads (YOLO26) trains both; on a device the one that needs no suppression is read."""
    if getattr(module.model[-1], "one2one_cv2", None) is not None:
        module.end2end = True
    return module


def layout_of(module: Any) -> str:
    """How `decode` must read the module's output."""
    return "end2end" if getattr(module, "end2end", False) else "dense"
