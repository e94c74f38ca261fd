"""Photographs that the project has seen, whatever they are called today: a renamed test photograph stays in test.

Decides that content comes before names: what has the same bytes is the same photograph; what is not known by bytes or
name is the one that it looks like, as closely as near-duplicates do in this set. Where the ledger knows one content on
several sides, the more held-out one counts. Refuses nothing.

    recognize(rows, groups, ledger, threshold_bits=4)      # {"new.jpg": "old.jpg"}
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from edgewright.data.rows import Row, Split
from edgewright.data.splits import KnownPicture, SplitLedger

_ORDER = tuple(Split)
_BLOCK = 2048


def recognize(
    rows: Sequence[Row], groups: Mapping[str, str], ledger: SplitLedger, *, threshold_bits: int
) -> dict[str, str]:
    """Image id => the ledger's group whose split it has, for images that the ledger knows otherwise than by name.

    Args:
        groups: image id => its base group today.
        threshold_bits: how far apart two hashes of one photograph may be; -1: the same bytes alone.
    """
    by_content, contents = _by_content(ledger), _by_group(ledger)
    found: dict[str, str] = {}
    strangers: list[Row] = []
    for row in rows:
        group = groups[row.id]
        if group in ledger.splits and (not contents.get(group) or row.sha256 in contents[group]):
            continue  # it is what its name says
        if row.sha256 in by_content:
            found[row.id] = by_content[row.sha256]
        elif group not in ledger.splits:
            strangers.append(row)
    return found | _by_looks(strangers, ledger, threshold_bits)


def _by_content(ledger: SplitLedger) -> dict[str, str]:
    """sha256 => the most held-out group that held it."""
    found: dict[str, str] = {}
    for picture in sorted(ledger.pictures, key=lambda one: _held_out(one, ledger)):
        found[picture.sha256] = picture.group
    return found


def _by_group(ledger: SplitLedger) -> Mapping[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for picture in ledger.pictures:
        found[picture.group].add(picture.sha256)
    return found


def _by_looks(strangers: Sequence[Row], ledger: SplitLedger, threshold_bits: int) -> dict[str, str]:
    known = sorted((one for one in ledger.pictures if one.phash), key=lambda one: -_held_out(one, ledger))
    if threshold_bits < 0 or not known or not strangers:
        return {}
    hashes = np.array([int(one.phash, 16) for one in known], dtype=np.uint64)
    found: dict[str, str] = {}
    for start in range(0, len(strangers), _BLOCK):
        block = strangers[start : start + _BLOCK]
        own = np.array([int(row.phash, 16) for row in block], dtype=np.uint64)
        near = np.bitwise_count(own[:, None] ^ hashes[None, :]) <= threshold_bits
        first = near.argmax(axis=1)  # the most held-out one: they stand in that order
        found |= {row.id: known[first[i]].group for i, row in enumerate(block) if near[i, first[i]]}
    return found


def _held_out(picture: KnownPicture, ledger: SplitLedger) -> int:
    return _ORDER.index(ledger.splits[picture.group])
