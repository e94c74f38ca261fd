"""What became of a detector that was made sparse, as it stands beside its weights. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

FACTS_FILE = "sparsity.json"


@dataclass(frozen=True)
class SparsityReport:
    """What became of a detector.

    Attributes:
        share: of the channels or weights that were to go.
        parameters_*: weights. multiplications_*: multiply-accumulates of one picture.
        zeros: share of the weights that a mask may take from, in [0, 1].
        stored_bytes, compressed_bytes: of those weights, and of them deflated.
        dense: layers that the mask left as they were.
        map50, map50_95: on val, after the training that followed; *_before: of the detector as it was.
    """

    method: str
    share: float
    parameters_before: int
    parameters_after: int
    multiplications_before: int
    multiplications_after: int
    zeros: float
    stored_bytes: int
    compressed_bytes: int
    dense: tuple[str, ...]
    map50_before: float | None
    map50_95_before: float | None
    map50: float | None
    map50_95: float | None
