"""What a person should look at: pictures whose labels the labeler doubts, lowest confidence first.

Decides what is doubtful: constructed labels that the labeler would review, correct or drop, and objects it sees that no
label knows; every label it gave to a photograph that nobody labeled; people's labels that it doubts (`audit.py`). So is
what it left out altogether, where somebody knows where the picture lies.
And what is shown: every box that someone proposed, so that a person who agrees has nothing to draw. Regions that a
person or the compositor marked as ignored are not shown and stay as they are.

>>> doubted = Label(0, 0, (0, 0, 9, 9), confidence=0.3, source=LabelSource.REVIEW, ignore=True)
>>> row = Row(id="a", sha256="", labels=(doubted,))
>>> [(item.row.id, item.confidence, item.why) for item in collect_doubts([row])]
[('a', 0.3, '1 review')]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgewright.data.rows import Label, LabelSource, LabelState, Row
from edgewright.label.trust.suspects import Suspect, Suspicion

DOUBTFUL_SOURCES = (
    LabelSource.REVIEW,
    LabelSource.CORRECTED,
    LabelSource.DROPPED,
    LabelSource.PHANTOM,
    LabelSource.LABELER,
    LabelSource.TEACHER,
)
"""Sources of labels that a labeler or a teacher has proposed, changed or refused."""


@dataclass(frozen=True)
class ReviewItem:
    """One picture to look at.

    Attributes:
        row: as the data set has it.
        shown: the boxes a person starts from.
        confidence: of the most doubtful of them, in [0, 1].
        why: one line for the person.
    """

    row: Row
    shown: tuple[Label, ...]
    confidence: float
    why: str


@dataclass(frozen=True)
class Proposals:
    """What a labeler says of a data set beyond what stands in it.

    Attributes:
        rows: row id => the row with the labeler's labels, for photographs that nobody labeled.
        suspects: people's labels that it doubts.
        model: digest of the labeler.
    """

    rows: Mapping[str, Row] = field(default_factory=dict)
    suspects: Sequence[Suspect] = ()
    model: str = ""

    def apply(self, row: Row) -> Row:
        """A row that nobody labeled with the labels proposed for it; another one as it is."""
        proposed = self.rows.get(row.id)
        if row.state != LabelState.UNLABELED or proposed is None:
            return row
        return replace(row, labels=proposed.labels, state=proposed.state)

    def shown(self, row: Row) -> tuple[Label, ...]:
        """Every box that somebody proposes as an object of this row; not the regions that are ignored for good."""
        applied = self.apply(row)
        first = 1 + max((label.instance_id for label in applied.labels), default=-1)
        overlooked = [one for one in self.of(row) if one.kind is Suspicion.OVERLOOKED]
        return (
            *(label for label in applied.labels if not _is_hidden(label)),
            *(
                Label(
                    first + i,
                    one.class_id,
                    one.xyxy,
                    confidence=one.doubt,
                    source=LabelSource.PHANTOM,
                    model=self.model,
                )
                for i, one in enumerate(overlooked)
            ),
        )

    def of(self, row: Row) -> list[Suspect]:
        return [suspect for suspect in self.suspects if suspect.image == row.id]


def hidden_labels(row: Row) -> tuple[Label, ...]:
    """Regions that a person or the compositor marked as ignored: never shown, never changed."""
    return tuple(label for label in row.labels if _is_hidden(label))


def collect_doubts(rows: Iterable[Row], proposals: Proposals | None = None) -> list[ReviewItem]:
    """Rows with a picture and a doubt, lowest confidence first, by id where equal. Pure."""
    known = proposals or Proposals()
    items = [item for row in rows if has_picture(row) and (item := _item(row, known))]
    return sorted(items, key=lambda item: (item.confidence, item.row.id))


def has_picture(row: Row) -> bool:
    """Whether it can be shown: it is usable, or it was left out and the place of its picture is known."""
    return not row.quarantine or bool(row.shard_digest)


def _is_hidden(label: Label) -> bool:
    return label.ignore and label.source not in DOUBTFUL_SOURCES


def _item(row: Row, proposals: Proposals) -> ReviewItem | None:
    if row.state == LabelState.REVIEWED:
        return None  # a person has looked at it already
    applied, suspects = proposals.apply(row), proposals.of(row)
    doubtful = [label for label in applied.labels if label.source in DOUBTFUL_SOURCES]
    if not doubtful and not suspects and applied.state != LabelState.MODEL:
        return None
    reasons = Counter([*(label.source for label in doubtful), *(suspect.kind.value for suspect in suspects)])
    why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "nothing found"
    lowest = min([*(label.confidence for label in doubtful), *(1 - suspect.doubt for suspect in suspects)], default=1.0)
    return ReviewItem(row, proposals.shown(row), float(lowest), why)
