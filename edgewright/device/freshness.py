"""How fresh a channel's metadata are: when the device took them, and until when it may believe them.

Decides nothing on trust, which is `trust.py`'s: it reads what was kept there, and says it in words.

>>> from datetime import timedelta
>>> now = datetime(2026, 3, 1, tzinfo=UTC)
>>> in_words(now + timedelta(days=6, hours=21), now=now), in_words(now - timedelta(minutes=90), now=now)
('valid for 6 days', 'expired 90 minutes ago')
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

TIMESTAMP = "timestamp.json"


@dataclass(frozen=True)
class Freshness:
    """Attributes:
    version: of the timestamp, which only rises.
    expires: after it a device refuses what the server says, until somebody signs again.
    fetched: when the file was written here.
    """

    version: int
    expires: datetime
    fetched: datetime


def freshness_in(folder: Path) -> Freshness | None:
    """Of the timestamp that lies in `folder`; None where there is none that can be read."""
    path = folder / TIMESTAMP
    try:
        signed = json.loads(path.read_bytes())["signed"]
        expires = datetime.fromisoformat(signed["expires"])
        fetched = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return Freshness(int(signed["version"]), expires.astimezone(UTC), fetched)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def in_words(expires: datetime, *, now: datetime) -> str:
    if expires < now:
        return f"expired {span(now - expires)} ago"
    return f"valid for {span(expires - now)}"


def span(time: timedelta) -> str:
    """A time in its largest fitting unit.

    >>> span(timedelta(hours=50)), span(timedelta(hours=30)), span(timedelta(seconds=1))
    ('2 days', '30 hours', '0 minutes')
    """
    minutes = int(time.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 2 * 24 * 60 else f"{minutes // (24 * 60)} days"
