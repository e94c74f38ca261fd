"""Make a bundle: the models, their golden pictures, and what each model itself finds on them.

Decides what a device will be asked to reproduce: what its model finds on the device runtime or, where this machine's
processor is not one that a model is for, as that model is written. Refuses a model that the device runtime refuses, and
a bundle that does not pass its own self-test here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PillowImage

from edgewright.errors import InputError
from edgewright.runtime.boxes import Image
from edgewright.runtime.bundle import GOLDEN_NAME, MANIFEST_FILE, Bundle, BundleManifest, FileEntry, Golden
from edgewright.runtime.instruction_sets import MODEL_FILE, SAFE_MODEL_FILE, Processor, choose_model, this_processor
from edgewright.runtime.selftest import run_selftest
from edgewright.runtime.session import ModelSpec, load_exact_network, load_network, predictor


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
    safe_model: Path | None = None,
    spec: ModelSpec,
    golden: Sequence[tuple[str, Image]],
    release: int,
    channel: str,
    out: Path,
    latency_budget_ms: float,
    start: Mapping[str, str] | None = None,
) -> BundleReport:
    """Write the bundle into the new folder `out`.

    Args:
        safe_model: for processors that `model` is not for; none: it is for all.
        golden: (name, picture).
        start: what training began with, as the manifest says it; none: with random numbers.

    Raises:
        InputError: a name that cannot be a file's, no golden picture, or a model that fails its own self-test.
    """
    models = {MODEL_FILE: model} | ({SAFE_MODEL_FILE: safe_model} if safe_model else {})
    here = choose_model(this_processor(), models).file
    predictors = {
        name: predictor((load_network if name in (here, SAFE_MODEL_FILE) else load_exact_network)(path), spec)
        for name, path in models.items()
    }
    names = [f"golden/{name}.png" for name, _ in golden]
    if not names or len(set(names)) != len(names) or not all(map(GOLDEN_NAME.fullmatch, names)):
        raise InputError("not names for golden pictures", expected="one or more letters, digits, - and _", got=names)
    (out / "golden").mkdir(parents=True)
    for name, path in models.items():
        (out / name).write_bytes(path.read_bytes())
    for name, (_, image) in zip(names, golden, strict=True):
        PillowImage.fromarray(image).save(out / name, optimize=False)
    try:
        manifest = BundleManifest(
            release=release,
            channel=channel,
            spec=spec,
            files={name: _entry(out / name) for name in [*models, *names]},
            golden=tuple(
                Golden.of(name, {model: predict(image) for model, predict in predictors.items()})
                for name, (_, image) in zip(names, golden, strict=True)
            ),
            latency_budget_ms=latency_budget_ms,
            start=start or {},
        )
    except ValueError as error:
        raise InputError("not a bundle", got=error, where=out) from error
    (out / MANIFEST_FILE).write_bytes(manifest.to_bytes())
    return _report(out)


def _report(out: Path) -> BundleReport:
    """Of what runs here. The model for every processor is tested in any case."""
    bundle = Bundle.load_whole(out)
    test = run_selftest(bundle)
    tests = (test, run_selftest(Bundle.load(out, processor=Processor("", frozenset()))))
    if not all(each.passed for each in tests):
        reasons = "; ".join(reason for each in tests for reason in each.reasons)
        raise InputError("the bundle fails its own self-test", got=reasons, where=out)
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
