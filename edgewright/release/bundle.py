"""Make a bundle: the model, its golden pictures, and what the model itself finds on them on the device runtime.

Decides what a device will be asked to reproduce. Refuses a model that the device runtime refuses, and a bundle that
does not pass its own self-test here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage

from edgewright.errors import InputError
from edgewright.runtime.boxes import Image
from edgewright.runtime.bundle import GOLDEN_NAME, MANIFEST_FILE, MODEL_FILE, Bundle, BundleManifest, FileEntry, Golden
from edgewright.runtime.selftest import run_selftest
from edgewright.runtime.session import ModelSpec, load_network, predictor


@dataclass(frozen=True)
class BundleReport:
    """Attributes:
    digest: of the content, the release number apart.
    bytes: of all files but the manifest.
    golden_detections: what the self-test rests on; 0 proves little.
    median_ms: one picture on this machine.
    """

    digest: str
    bytes: int
    golden_images: int
    golden_detections: int
    median_ms: float


def build_bundle(
    *,
    model: Path,
    spec: ModelSpec,
    golden: Sequence[tuple[str, Image]],
    release: int,
    channel: str,
    out: Path,
    latency_budget_ms: float,
) -> BundleReport:
    """Write the bundle into the new folder `out`; `golden` is (name, picture).

    Raises:
        InputError: a name that cannot be a file's, no golden picture, or a model that fails its own self-test.
    """
    predict = predictor(load_network(model), spec)
    names = [f"golden/{name}.png" for name, _ in golden]
    if not names or len(set(names)) != len(names) or not all(map(GOLDEN_NAME.fullmatch, names)):
        raise InputError("not names for golden pictures", expected="one or more letters, digits, - and _", got=names)
    (out / "golden").mkdir(parents=True)
    (out / MODEL_FILE).write_bytes(model.read_bytes())
    for name, (_, image) in zip(names, golden, strict=True):
        PillowImage.fromarray(image).save(out / name, optimize=False)
    try:
        manifest = BundleManifest(
            release=release,
            channel=channel,
            spec=spec,
            files={name: _entry(out / name) for name in [MODEL_FILE, *names]},
            golden=tuple(Golden.of(name, predict(image)) for name, (_, image) in zip(names, golden, strict=True)),
            latency_budget_ms=latency_budget_ms,
        )
    except ValueError as error:
        raise InputError("not a bundle", got=error, where=out) from error
    (out / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return _report(Bundle.load(out))


def _report(bundle: Bundle) -> BundleReport:
    test = run_selftest(bundle)
    if not test.passed:
        raise InputError("the bundle fails its own self-test", got="; ".join(test.reasons), where=bundle.root)
    return BundleReport(
        digest=bundle.manifest.digest,
        bytes=bundle.manifest.total_bytes,
        golden_images=test.images,
        golden_detections=test.expected,
        median_ms=test.median_ms,
    )


def _entry(path: Path) -> FileEntry:
    payload = path.read_bytes()
    return FileEntry(hashlib.sha256(payload).hexdigest(), len(payload))
