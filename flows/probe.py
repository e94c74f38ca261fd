"""What `edgewright doctor` sends to each pool: its worker writes a word into the store, where the asker reads it."""

from __future__ import annotations

from prefect import flow

from tasks.engine.probe import answer_probe


@flow(name="probe", persist_result=False)
def probe(word: str) -> None:
    """Write a word into the store that this worker uses.

    Args:
        word: what the asker will look for.
    """
    answer_probe(word)
