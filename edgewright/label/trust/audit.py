"""People's labels that a labeler doubts which had not seen them: candidates for a second look, never changed here.

Decides, after ObjectLab (Tkachenko et al. 2023, arXiv 2309.00832): an object is *overlooked* where a sure labeler sees
one that no label knows, *misplaced* where it sees this object elsewhere, *swapped* where it sees another class; and
*unseen* where it sees nothing of a label, of a class that it otherwise hardly ever misses. A doubt is never stronger
than the labeler is good: one that misplaces half of a class is no witness of where an object lies.

>>> from edgewright.data.rows import Label
>>> row = Row(id="a", sha256="", labels=(Label(0, 0, (0, 0, 9, 9)),))
>>> found = Prediction(row, Boxes.of([[0, 0, 9, 9]], class_id=[1], score=[0.9]), learned=(True, True))
>>> worth = ClassEvidence(labels=1, scores=(0.9,), hits=(True,))
>>> find_suspects([found], trust=[worth, worth], min_doubt=0.8)[0].kind
<Suspicion.SWAPPED: 'swapped'>
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgewright.data.rows import Row
from edgewright.label.trust.agreement import match_objects
from edgewright.label.trust.evidence import ClassEvidence
from edgewright.label.trust.score import MATCH_IOU, Prediction
from edgewright.label.trust.suspects import Suspect, Suspicion
from edgewright.runtime.boxes import Boxes


def find_suspects(
    predictions: Sequence[Prediction], *, trust: Sequence[ClassEvidence], min_doubt: float
) -> tuple[Suspect, ...]:
    """Worst first.

    Args:
        trust: (C,) what the labeler's boxes of each class are worth.
        min_doubt: below this a doubt is the labeler's own weakness.
    """
    found = [
        suspect for prediction in predictions for suspect in _doubts(prediction, trust) if suspect.doubt >= min_doubt
    ]
    return tuple(sorted(found, key=lambda suspect: (-suspect.doubt, suspect.image, suspect.instance_id)))


def _doubts(prediction: Prediction, trust: Sequence[ClassEvidence]) -> Iterator[Suspect]:
    row, seen = prediction.row, prediction.seen
    labels = [label for label in row.labels if not label.ignore]
    matches = match_objects(row.boxes, seen, ignored=row.ignored)
    for index, label in enumerate(labels):
        same, swapped = int(matches.same[index]), int(matches.swapped[index])
        if not prediction.learned[label.class_id]:
            continue
        recall = trust[label.class_id].recall or 0.0
        if same >= 0:
            if matches.overlap[index, same] < MATCH_IOU:
                yield _seen(row, seen, same, kind=Suspicion.MISPLACED, instance_id=label.instance_id, at_most=recall)
        elif swapped >= 0:
            precision = _precision(trust, seen, swapped)
            yield _seen(row, seen, swapped, kind=Suspicion.SWAPPED, instance_id=label.instance_id, at_most=precision)
        else:
            yield Suspect(row.id, label.instance_id, Suspicion.UNSEEN, label.class_id, label.xyxy, recall)
    for at in matches.unexplained:
        precision = _precision(trust, seen, at)
        yield _seen(row, seen, at, kind=Suspicion.OVERLOOKED, instance_id=-1, at_most=precision)


def _precision(trust: Sequence[ClassEvidence], seen: Boxes, at: int) -> float:
    """Of the labeler's boxes of this class that are as sure. A wrong label counts against it, which is cautious."""
    return trust[int(seen.class_id[at])].precision_from(_score(seen, at))


def _seen(row: Row, seen: Boxes, at: int, *, kind: Suspicion, instance_id: int, at_most: float) -> Suspect:
    x1, y1, x2, y2 = (float(value) for value in seen.xyxy[at])
    return Suspect(row.id, instance_id, kind, int(seen.class_id[at]), (x1, y1, x2, y2), min(_score(seen, at), at_most))


def _score(seen: Boxes, at: int) -> float:
    return float(np.float64(seen.score[at]))
