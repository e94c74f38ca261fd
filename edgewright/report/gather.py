"""What stands on the page that a run ends with, gathered from the run's artifacts.

Decides the first line: what was refused stands before what came out. A section whose stage has not run is left out.

    page = render(Gathered(store, state, refs).data())
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from edgewright.artifacts import Artifact, ArtifactRef, Store
from edgewright.compress.files import FACTS_FILE as QUANTIZE_FILE
from edgewright.compress.files import FPGA_FILE, SPEC_FILE
from edgewright.data.dataset import Dataset
from edgewright.data.ingest import ORIGIN_FILE
from edgewright.data.ingest import REPORT_FILE as INGEST_FILE
from edgewright.data.rows import LabelState, Origin, Split, count_by_class, spread
from edgewright.detect.evaluate import Evaluation
from edgewright.detect.mistakes import MISTAKES_FILE, Mistakes
from edgewright.detect.train import FACTS_FILE, provenance_of
from edgewright.device.offer import TIERS
from edgewright.device.phases import FrameTimes
from edgewright.device.runner import DETECTIONS_FILE, FRAMES
from edgewright.gates.evidence import EVIDENCE_FILE
from edgewright.gates.model_gate import MEASURED_FILE
from edgewright.gates.verdict import VERDICT_FILE, Outcome, Verdict
from edgewright.metrics import HISTORY_FILE, history_of
from edgewright.release.gateway import FEED, REPORT_FILE
from edgewright.report.advice import Outcomes, next_steps, weakness
from edgewright.report.data import (
    Curve,
    FormFigures,
    ModelFigures,
    Picture,
    ReportData,
    Series,
    StageFigures,
    TierFigures,
)
from edgewright.report.figures import picture_of
from edgewright.report.mistakes import show_mistakes
from edgewright.report.pictures import beside
from edgewright.report.tables import harm_of, sparsity_rows
from edgewright.report.understood import understood
from edgewright.runtime.boxes import Boxes
from edgewright.runtime.pictures import read_picture
from edgewright.sparse.facts import FACTS_FILE as SPARSITY_FILE

_PICTURES, _PAIR_PX = 8, 160
_WORST_LAYERS = 8


class Gathered:
    """A run's artifacts, opened as the page needs them.

    Args:
        state: the run's record. refs: its artifacts by stage. links: (what, address) of what the page points at.
    """

    def __init__(
        self,
        store: Store,
        state: Mapping[str, Any],
        refs: Mapping[str, ArtifactRef],
        *,
        links: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._store, self._state, self._refs, self._links = store, state, refs, links

    def data(self) -> ReportData:
        real, ingested = self._dataset("ingest"), self._ingested()
        return ReportData(
            project=self._state["project"],
            run_id=self._state["run_id"],
            created_at=self._state["created_at"],
            headline=self.headline(),
            simulated=self._simulated(),
            classes=real.classes if real else (),
            counts=list(self._counts(real)) if real else [],
            real=_pictures(real, origin=Origin.REAL) if real else [],
            synthetic=[] if self._refused() else self._synthetic(),
            rejected=self._rejected(),
            near_pairs=self._near_pairs(),
            quarantined=[(row.id, row.quarantine) for row in real.quarantined] if real else [],
            understood=understood(ingested) if ingested else None,
            leak_pairs=list(_leak_pairs(real, ingested)) if real else [],
            verdicts=self._verdicts(),
            curves=list(self._curves()),
            models=list(self._models()),
            tiers=self.tiers(),
            start=self._start(),
            sparsity=sparsity_rows(artifact.json(SPARSITY_FILE)) if (artifact := self._open("compress")) else (),
            files=list(self.files()),
            harm=harm_of(artifact.json(QUANTIZE_FILE), n=_WORST_LAYERS) if (artifact := self._open("quantize")) else (),
            stages=[_stage_figures(row) for row in self._state["stages"]],
            device=list(self._device()),
            device_pictures=self._device_pictures(),
            links=list(self._links),
            recipe_yaml=yaml.safe_dump(self._state["recipe"], sort_keys=False),
            mistakes=show_mistakes(mistakes, real, n=_PICTURES) if (mistakes := self._mistakes()) and real else None,
            next_steps=next_steps(self._outcomes(real)) if real else (),
        )

    def headline(self) -> str:
        """What was refused or went wrong first; then what came out."""
        parts = []
        if self._refused():
            parts.append("Trained on real photographs only: the data gate left the synthetic pictures out.")
        if self._state["error"]:
            message = self._state["error"]["message"]
            parts.append(f"The run ended early: {message}{'' if message.endswith(('.', '?')) else '.'}")
        models = self.models_json()
        if models:
            int8 = models["int8"]
            parts.append(
                f"An INT8 detector of {int8['bytes'] / 1e6:.2f} MB reaches mAP50 {int8['map50'] or 0:.3f} "
                f"on {self._measured()['int8']['n_images']} test photographs."
            )
            parts.append(weakness(int8["map50"], self._measured()["int8"]["ap50"]))
        parts += [
            f"For devices of tier {one.tier}: {one.bytes / 1e6:.2f} MB, mAP50 {one.map50 or 0:.3f}."
            for one in self.tiers()[1:]
        ]
        if self._state["device"]:
            device = self._state["device"]
            parts.append(
                f"Release {device['version']} runs in slot {device['slot']} of a device that verified its signature."
            )
        return " ".join(filter(None, parts)) or "The run has not produced a model yet."

    def models_json(self) -> dict[str, dict[str, Any]]:
        """`{float, int8: bytes, map50, map50_95}`; empty before the model gate has measured."""
        if "gate_model" not in self._refs:
            return {}
        measured = self._measured()
        rows = {"float": ("float_torch", "float_bytes"), "int8": ("int8", "bytes")}
        return {
            precision: {
                "bytes": measured[size],
                "map50": measured[evaluation]["map50"],
                "map50_95": measured[evaluation]["map50_95"],
            }
            for precision, (evaluation, size) in rows.items()
        }

    def tiers(self) -> list[TierFigures]:
        """Of each tier whose gate has measured; empty where the run makes one detector."""
        measured = [tier for tier in TIERS if _of("gate_model", tier) in self._refs]
        return [self._tier(tier) for tier in measured] if {*measured} - {TIERS[0]} else []

    def _tier(self, tier: str) -> TierFigures:
        gate, model = (self._store.open(self._refs[_of(stage, tier)]) for stage in ("gate_model", "quantize"))
        measured, flashed = gate.json(MEASURED_FILE), self._open("flash")
        report = f"{'' if tier == TIERS[0] else f'{tier}/'}{REPORT_FILE}"
        return TierFigures(
            tier=tier,
            input_px=model.json(SPEC_FILE)["input_px"],
            bytes=measured["bytes"],
            map50=measured["int8"]["map50"],
            map50_95=measured["int8"]["map50_95"],
            p50_ms=measured["int8_latency"]["p50_ms"],
            p99_ms=measured["int8_latency"]["p99_ms"],
            device_p50_ms=flashed.json(report)["p50_ms"] if flashed and report in flashed.files else None,
            outcome=str(Verdict.from_json(gate.json(VERDICT_FILE)).outcome),
        )

    def _open(self, stage: str) -> Artifact | None:
        return self._store.open(self._refs[stage]) if stage in self._refs else None

    def _dataset(self, stage: str) -> Dataset | None:
        return Dataset.open(self._store, self._refs[stage]) if stage in self._refs else None

    def _measured(self) -> dict[str, Any]:
        artifact = self._open("gate_model")
        measured: dict[str, Any] = artifact.json(MEASURED_FILE) if artifact else {}
        return measured

    def _mistakes(self) -> Mistakes | None:
        artifact = self._open("gate_model")
        if artifact is None or MISTAKES_FILE not in artifact.files:  # measured before they were looked for
            return None
        return Mistakes.from_json(artifact.json(MISTAKES_FILE))

    def _outcomes(self, real: Dataset) -> Outcomes:
        counts = count_by_class(real.select(split=Split.TRAIN), len(real.classes))
        return Outcomes(
            simulated=self._simulated(),
            mistakes=self._mistakes(),
            ap50=self._measured().get("int8", {}).get("ap50", {}),
            n_train=dict(zip(real.classes, counts, strict=True)),
            n_unlabeled=sum(row.state == LabelState.UNLABELED for row in real.usable),
            val_map50=[row["val/map50"] for _, row in self._detector_history() if "val/map50" in row],
            image_px=self._state["recipe"]["train_detector"]["image_px"],
        )

    def _detector_history(self) -> list[tuple[int, dict[str, float]]]:
        detector = self._open("compress") or self._open("train_detector")
        return history_of(detector.path(HISTORY_FILE)) if detector else []

    def _start(self) -> str:
        detector = self._open("train_detector")
        return provenance_of(detector.json(FACTS_FILE)).sentence if detector else ""

    def _ingested(self) -> dict[str, Any]:
        """Its report; empty where there is none."""
        artifact = self._open("ingest")
        report: dict[str, Any] = artifact.json(INGEST_FILE) if artifact and INGEST_FILE in artifact.files else {}
        return report

    def _simulated(self) -> bool:
        artifact = self._open("ingest")
        return bool(artifact and artifact.json(ORIGIN_FILE)["simulated"])

    def _verdicts(self) -> list[Verdict]:
        gates = ("gate_data", *(_of("gate_model", tier) for tier in TIERS))
        found = [
            Verdict.from_json({**artifact.json(VERDICT_FILE), "gate": gate})
            for gate in gates
            if (artifact := self._open(gate))
        ]
        noted = {gate["name"]: gate for gate in self._state["gates"]}
        return [
            Verdict.from_json(
                {**verdict.to_json(), **{k: noted[verdict.gate][k] for k in ("decision", "decided_by", "why")}}
            )
            if verdict.gate in noted
            else verdict
            for verdict in found
        ]

    def _refused(self) -> bool:
        return any(v.gate == "gate_data" and v.outcome is not Outcome.PASS for v in self._verdicts())

    def _counts(self, real: Dataset) -> Iterator[tuple[str, str]]:
        yield "usable photographs", f"{len(real.usable)}"
        for split in Split:
            rows = real.select(split=split)
            yield split, f"{len(rows)} photographs, {sum(len(row.boxes) for row in rows)} objects"
        yield "quarantined", f"{len(real.quarantined)}"
        training = self._dataset("gate_data")
        if training:
            pseudo = sum(row.state == LabelState.MODEL for row in training.usable)
            yield "photographs that the labeler labeled", f"{pseudo}"
            yield "synthetic pictures admitted", f"{len(training.select(origin=Origin.SYNTHETIC))}"

    def _synthetic(self) -> list[Picture]:
        labeled = self._dataset("label") or self._dataset("generate")
        return _pictures(labeled, origin=Origin.SYNTHETIC) if labeled else []

    def _rejected(self) -> list[Picture]:
        """What the labeler left out; all of it where the gate refused."""
        generated, labeled = self._dataset("generate"), self._dataset("label")
        if generated is None or labeled is None:
            return []
        if self._refused():
            return [
                _captioned(generated, row, "left out by the data gate") for row in spread(generated.usable, _PICTURES)
            ]
        reasons = {row.id: row.quarantine for row in labeled.quarantined}
        rows = [row for row in generated.usable if row.id in reasons]
        return [_captioned(generated, row, reasons[row.id]) for row in spread(rows, _PICTURES)]

    def _near_pairs(self) -> list[Picture]:
        """What the data gate found most like a copy, beside what it may be a copy of."""
        gate, real = self._open("gate_data"), self._dataset("ingest")
        made = self._dataset("label") or self._dataset("generate")
        if gate is None or real is None or made is None:
            return []
        rows = {"made": {row.id: row for row in made.rows}, "real": {row.id: row for row in real.rows}}
        found = []
        for pair in gate.json(EVIDENCE_FILE)["nearest"]:
            left, right = rows["made"].get(pair["synthetic_id"]), rows["real"].get(pair["train_id"])
            if left is not None and right is not None:
                image = beside(made.image(left), real.image(right), height_px=_PAIR_PX)
                found.append(Picture(image, Boxes.empty(), f"{pair['ratio']:.2f}: {left.id}, {right.id}"))
        return found

    def _curves(self) -> Iterator[Curve]:
        history = self._detector_history()
        if history:
            names = {"val/map50": "mAP50", "val/map50_95": "mAP50-95"}
            yield Curve("Detector on val", "epoch", "mAP", _series(history, names))
        generator = self._open("train_generator")
        history = history_of(generator.path(HISTORY_FILE)) if generator else []
        if history:
            yield Curve(
                "GAN losses", "step", "loss", _series(history, {"d_loss": "discriminator", "g_loss": "generator"})
            )
        labeler = self._open("train_labeler")
        if labeler:
            yield Curve(
                "Labeler loss", "step", "loss", _series(history_of(labeler.path(HISTORY_FILE)), {"loss": "loss"})
            )
        for name, key in (("float", "float_torch"), ("INT8", "int8")):
            curves = self._measured().get(key, {}).get("curves", [])
            if curves:
                series = [Series(curve["class_name"], curve["recall"], curve["precision"]) for curve in curves]
                yield Curve(f"Precision and recall, {name}", "recall", "precision", series)

    def _models(self) -> Iterator[ModelFigures]:
        measured = self._measured()
        if not measured:
            return
        rows = (("float", "float_torch", "float_bytes", "float_latency"), ("INT8", "int8", "bytes", "int8_latency"))
        for precision, evaluation, size, latency in rows:
            yield ModelFigures(
                precision=precision,
                bytes=measured[size],
                map50=measured[evaluation]["map50"],
                map50_95=measured[evaluation]["map50_95"],
                p50_ms=measured[latency]["p50_ms"],
                p99_ms=measured[latency]["p99_ms"],
                map50_by_class=measured[evaluation]["ap50"],
                evaluation=Evaluation.from_json(measured[evaluation]),
            )

    def files(self) -> Iterator[FormFigures]:
        """Each INT8 file in each form that was measured, and the file for an FPGA where there is one."""
        for name, file in self._measured().get("files", {}).items():
            for form, found in file["forms"].items():
                yield FormFigures(
                    name, form, file["bytes"], found["map50"], found["map50_95"], decides=found["decides"]
                )
        fpga = self._measured().get("fpga")
        if fpga:
            form = f"in an FPGA's numbers, by {fpga['run_by']}"
            yield FormFigures(FPGA_FILE, form, fpga["bytes"], fpga["map50"], fpga["map50_95"], decides=False)

    def _device(self) -> Iterator[tuple[str, str]]:
        artifact = self._open("flash")
        if artifact is None:
            return
        device = artifact.json(REPORT_FILE)
        yield f"self-test on {device['selftest']['images']} golden pictures", "verified"
        yield "release", f"{device['version']}, signature verified (TUF)"
        yield "slot", f"{device['slot']}"
        yield "p50, p99", f"{device['p50_ms']:.1f} ms, {device['p99_ms']:.1f} ms"
        if device.get("times"):
            yield "a frame, from file to line", str(FrameTimes.from_json(device["times"]))
        yield "detections on its feed", f"{device['detections']} on {device['frames']} frames"

    def _device_pictures(self) -> list[Picture]:
        artifact, real = self._open("flash"), self._dataset("ingest")
        if artifact is None or real is None:
            return []
        return list(device_pictures(artifact, n=_PICTURES))


def _of(stage: str, tier: str) -> str:
    """What a stage that makes a tier's detector is called in the run's record."""
    return stage if tier == TIERS[0] else f"{stage}@{tier}"


def device_pictures(artifact: Artifact, *, n: int) -> Iterator[Picture]:
    """Frames of the device's feed with what the device itself detected on them."""
    lines = artifact.path(f"{FEED}/{DETECTIONS_FILE}").read_text().splitlines()
    frames = [frame for frame in map(json.loads, lines) if f"{FEED}/{FRAMES}/{frame['frame']}" in artifact.files]
    for frame in spread(frames, n):
        found = frame.get("detections", [])
        boxes = Boxes.of(
            [one["xyxy"] for one in found],
            class_id=[one["class_id"] for one in found],
            score=[one["score"] for one in found],
        )
        picture = read_picture(artifact.path(f"{FEED}/{FRAMES}/{frame['frame']}"))
        yield Picture(picture.pixels, picture.from_file(boxes), frame["frame"])


def _leak_pairs(real: Dataset, ingested: Mapping[str, Any]) -> Iterator[Picture]:
    rows = {row.id: row for row in real.usable}
    for leak in ingested.get("leaks", ()):
        if leak["image"] in rows and leak["twin"] in rows:
            one, other = rows[leak["image"]], rows[leak["twin"]]
            image = beside(real.image(one), real.image(other), height_px=_PAIR_PX)
            yield Picture(image, Boxes.empty(), f"{leak['split']} and {leak['twin_split']}: {one.id}, {other.id}")


def _pictures(dataset: Dataset, *, origin: Origin) -> list[Picture]:
    rows = dataset.select(split=Split.TRAIN, origin=origin)
    return [picture_of(dataset, row) for row in spread([row for row in rows if len(row.boxes)] or rows, _PICTURES)]


def _captioned(dataset: Dataset, row: Any, caption: str) -> Picture:
    return picture_of(dataset, row, caption=caption)


def _series(history: list[tuple[int, dict[str, float]]], names: dict[str, str]) -> list[Series]:
    return [
        Series(label, [step for step, row in history if name in row], [row[name] for _, row in history if name in row])
        for name, label in names.items()
        if any(name in row for _, row in history)
    ]


def _stage_figures(row: dict[str, Any]) -> StageFigures:
    ran_on = row["ran_on"]
    where = ", ".join(part for part in (ran_on["host"], ran_on["device"]) if part)
    return StageFigures(row["name"], row["pool"], f"{where} ({ran_on['router']})", row["seconds"], row["cached"])
