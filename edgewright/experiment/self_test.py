"""The gate's self-test on a source: photographs are ingested, a labeler is trained on a part of them, controls judged.

No stage: it publishes nothing, and its artifacts lie in a scratch folder of the caller.
"""

from __future__ import annotations

from pathlib import Path

from edgewright.artifacts import Content, LocalStore, Record
from edgewright.data.dataset import Dataset, DatasetWriter
from edgewright.gates.selftest.self_test import Judge, SelfTest
from edgewright.progress import OnProgress, silent
from edgewright.recipe import Recipe


def self_test_of(
    source: Path | None, recipe: Recipe, *, folder: Path, threads: int, on_progress: OnProgress
) -> SelfTest:
    """Test the gate of a recipe on a source, or on photographs of the simulated camera where none is given.

    Args:
        folder: a scratch folder, which the caller removes.

    Raises:
        SourceError, InputError: the source cannot be read, or holds too few labeled pictures.
    """
    from edgewright.data.ingest import ingest
    from edgewright.simulate.source import write_source

    if source is None:
        source = folder / "photographs"
        write_source(source, n=recipe.ingest.photographs, seed=recipe.seed, on_progress=on_progress)
    store = LocalStore(folder / "store")
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    with store.workspace() as work:
        ingest(source, recipe.ingest, workspace=work, scratch=scratch, seed=recipe.seed, on_progress=on_progress)
        ref = store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())
    return self_test_on(
        Dataset.open(store, ref), recipe, store=store, scratch=scratch, threads=threads, on_progress=on_progress
    )


def self_test_on(
    real: Dataset, recipe: Recipe, *, store: LocalStore, scratch: Path, threads: int, on_progress: OnProgress
) -> SelfTest:
    """The same on photographs that are a data set already."""
    from edgewright.gates.selftest.self_test import self_test

    def make_judge(train: Dataset) -> Judge:
        return _judge(train, recipe, store=store, scratch=scratch, threads=threads, on_progress=on_progress)

    return self_test(
        real,
        recipe.gate_data,
        image_px=recipe.generate.image_px,
        store=store,
        make_judge=make_judge,
        seed=recipe.seed,
        threads=threads,
        on_progress=on_progress,
    )


def _judge(
    train: Dataset, recipe: Recipe, *, store: LocalStore, scratch: Path, threads: int, on_progress: OnProgress
) -> Judge:
    """A labeler that saw T alone, as a function on data sets."""
    from edgewright.label.annotate import annotate
    from edgewright.label.train import train_labeler

    with store.workspace() as out:
        train_labeler(
            train,
            recipe.train_labeler,
            out=out,
            scratch=scratch,
            seed=recipe.seed,
            threads=threads,
            on_progress=on_progress,
        )
        labeler = store.open(store.publish(out, Content(kind="labeler", stage="self_test"), Record()))

    def judge(synthetic: Dataset) -> Dataset:
        with store.workspace() as out:
            writer = DatasetWriter(out, classes=synthetic.classes)
            annotate(labeler, synthetic, recipe.label, writer=writer, on_progress=silent)
            writer.finish()
            return Dataset.open(store, store.publish(out, Content(kind="dataset_labeled", stage="self_test"), Record()))

    return judge
