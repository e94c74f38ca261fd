"""A trained detector with fewer channels, or with zeros among its weights, trained again until it knows as much.

Decides what follows the cut: a short training on the same photographs, in which the network as it was is the teacher,
and what is reported: weights, multiplications and zeros before and after. Says nothing about speed; that is measured on
what is exported. Refuses a detector that was made sparse already, and an optimizer that moves zeros.

    report = sparsify(detector, dataset, config, out=work, scratch=scratch, seed=0, threads=2, on_epoch=show)
    report.multiplications_after / report.multiplications_before
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from edgewright.artifacts import Artifact, canonical_json, sha256_bytes
from edgewright.data.dataset import Dataset
from edgewright.detect.lesson import Begin, EpochReport
from edgewright.detect.network import load_learner
from edgewright.detect.train import FACTS_FILE as DETECTOR_FILE
from edgewright.detect.train import provenance_of, train_detector
from edgewright.errors import InputError
from edgewright.recipe.compress import CompressConfig
from edgewright.recipe.detect import TrainDetectorConfig
from edgewright.sparse.cut import cut, kept_by_share, multiplications
from edgewright.sparse.facts import FACTS_FILE, SparsityReport
from edgewright.sparse.groups import layers_of
from edgewright.sparse.masks import maskable, two_of_four_everywhere, unstructured, zeros_in

_MOVES_ZEROS = ("MuSGD",)


def sparsify(
    detector: Artifact,
    dataset: Dataset,
    config: CompressConfig,
    *,
    out: Path,
    scratch: Path,
    seed: int,
    threads: int,
    on_epoch: Callable[[EpochReport], None],
) -> SparsityReport:
    """Cut or mask, train again, publish into `out` what training publishes, and `sparsity.json`.

    Raises:
        InputError: `method: none`, a detector that is cut already, an optimizer that moves zeros.
        StageFailed: a loss or a weight is not finite.
    """
    trained = _trained(detector, config)
    facts = detector.json(DETECTOR_FILE)
    before, spec = load_learner(detector.path)
    example = torch.zeros(2, 3, spec.input_px, spec.input_px)
    after, masks = _thinned(before, config, example)
    begins = Begin(
        module=after,
        provenance=provenance_of(facts),
        identity=sha256_bytes(canonical_json([detector.ref.sha256, config.model_dump(mode="json")])),
        masks=masks,
        teacher=before if config.teacher_weight else None,
        teacher_weight=config.teacher_weight,
        cut=config.method == "channels",
    )
    again = trained.model_copy(
        update={
            "epochs": config.epochs,
            "steps": config.steps,
            "learning_rate": config.learning_rate,
            "frozen_share": 0.0,
            "devices": 1,
        }
    )
    report = train_detector(
        dataset, again, out=out, scratch=scratch, seed=seed, threads=threads, on_epoch=on_epoch, begins=begins
    )
    learned, _ = load_learner(lambda name: out / name)
    found = SparsityReport(
        method=config.method,
        share=config.share if config.method != "two_of_four" else 0.5,
        parameters_before=_parameters(before),
        parameters_after=_parameters(learned),
        multiplications_before=multiplications(before.eval(), example[:1]),
        multiplications_after=multiplications(learned.eval(), example[:1]),
        dense=tuple(name for name in maskable(learned) if masks and name not in masks),
        map50_before=facts["map50"],
        map50_95_before=facts["map50_95"],
        map50=report.map50,
        map50_95=report.map50_95,
        **asdict(zeros_in(learned)),
    )
    (out / FACTS_FILE).write_text(json.dumps(asdict(found), indent=1, sort_keys=True), encoding="utf-8")
    return found


def _trained(detector: Artifact, config: CompressConfig) -> TrainDetectorConfig:
    """How the detector was trained, where what is asked for can be done to it."""
    if not config.wanted:
        raise InputError("nothing to do", expected="compress.method other than none", got=config.method)
    content = detector.manifest.content
    if FACTS_FILE in content.files:
        raise InputError(
            "the detector was made sparse already", where=detector.ref.uri, next_step="give the trained one"
        )
    trained = TrainDetectorConfig.model_validate(content.config)
    if config.method != "channels" and trained.optimizer in _MOVES_ZEROS:
        raise InputError(
            "this optimizer moves weights that have no gradient", expected="AdamW or SGD", got=trained.optimizer
        )
    return trained


def _thinned(module: nn.Module, config: CompressConfig, example: Tensor) -> tuple[nn.Module, Mapping[str, Tensor]]:
    if config.method == "channels":
        layers = layers_of(module, example)
        return cut(module, layers, kept_by_share(module.state_dict(), layers, share=config.share)), {}
    if config.method == "unstructured":
        return module, unstructured(module, share=config.share)
    return module, two_of_four_everywhere(module)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
