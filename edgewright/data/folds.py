"""Which photographs are left out of which training (cross-fitting).

Decides by group: photographs of one group never stand on both sides. Folds are balanced by photographs and by the
objects of every class, greedily, the heaviest groups first. Refuses nothing: fewer groups than folds give fewer folds.

>>> rows = [Row(id=name, sha256="", group=name[0]) for name in ("a1", "a2", "b1", "c1", "d1")]
>>> assign_folds(rows, folds=2, n_classes=0, seed=0)
(0, 0, 1, 1, 0)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgewright.data.rows import Row, count_by_class

_Loads = npt.NDArray[np.float64]


def assign_folds(rows: Sequence[Row], *, folds: int, n_classes: int, seed: int) -> tuple[int, ...]:
    """The fold of every row, from 0; all 0 where `folds` or the number of groups is 1.

    Greedy as in Sechidis, Tsoumakas, Vlahavas (2011): each group goes where its photographs and classes are rarest.
    """
    members: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        members.setdefault(row.group or row.id, []).append(index)
    groups = sorted(members)
    weights = _weights([[rows[index] for index in members[group]] for group in groups], n_classes)
    loads = np.zeros((max(1, min(folds, len(groups))), 1 + n_classes))
    fold_of = [0] * len(rows)
    shuffled = np.random.default_rng(seed).permutation(len(groups))
    for at in sorted(shuffled.tolist(), key=lambda at: -float(weights[at].max())):
        fold = min(range(len(loads)), key=lambda fold: (float(loads[fold] @ weights[at]), float(loads[fold, 0])))
        loads[fold] += weights[at]
        for index in members[groups[at]]:
            fold_of[index] = fold
    return tuple(fold_of)


def _weights(groups: Sequence[Sequence[Row]], n_classes: int) -> _Loads:
    """(G, 1 + C): each group's share of all photographs, and of the objects of each class."""
    counts = np.array([[len(rows), *count_by_class(rows, n_classes)] for rows in groups], dtype=np.float64)
    shares: _Loads = counts.reshape(len(groups), -1) / np.maximum(counts.reshape(len(groups), -1).sum(axis=0), 1)
    return shares
