"""A worker's answer to "are you there, and do we share a store?": a small artifact that says who made it."""

from __future__ import annotations

import platform
import shutil

from edgewright.artifacts import Content, Record, open_store
from edgewright.settings import read_settings
from tasks.engine.accelerator import accelerators
from tasks.engine.approval import own_flow_run
from tasks.engine.ran import attempt_key

PROBE_FILE = "probe.json"


def answer_probe(word: str) -> str:
    """Write the word where this worker keeps artifacts; what the store calls it."""
    settings = read_settings()
    store = open_store(settings.store, scratch=settings.scratch / "s3")
    with store.workspace() as out:
        (out / PROBE_FILE).write_text(word)
        facts = {"free_bytes": shutil.disk_usage(settings.home).free}
        record = Record(host=platform.node(), device=", ".join(accelerators()) or "cpu", facts=facts)
        ref = store.publish(out, Content(kind="probe", stage="probe", config={"word": word}), record)
    store.remember(attempt_key(own_flow_run()), ref)
    return ref.uri
