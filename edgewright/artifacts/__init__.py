"""Artifacts: directories whose `manifest.json` is written last, named by the digest of what they hold.

Decides what an artifact is, when it is complete and where it lies. Refuses bytes that differ from their digest.

>>> store = open_store("store")
>>> with store.workspace() as work:
...     file_bytes = (work / "model.onnx").write_bytes(b"...")
...     ref = store.publish(work, Content(kind="int8_model", stage="quantize"), Record())
>>> store.open(ref).files
['model.onnx']
"""

from edgewright.artifacts.local import LocalStore
from edgewright.artifacts.manifest import Content, Manifest, Record, canonical_json, sha256_bytes, sha256_file
from edgewright.artifacts.places import open_store, require_store
from edgewright.artifacts.ref import ArtifactRef
from edgewright.artifacts.store import Artifact, Store

__all__ = [
    "Artifact",
    "ArtifactRef",
    "Content",
    "LocalStore",
    "Manifest",
    "Record",
    "Store",
    "canonical_json",
    "open_store",
    "require_store",
    "sha256_bytes",
    "sha256_file",
]
