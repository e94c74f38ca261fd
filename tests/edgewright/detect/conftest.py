"""A data set of colored squares, small enough to train on in seconds."""

import numpy as np
import pytest

from edgewright.artifacts import Content, Record, open_store
from edgewright.data.dataset import Dataset, DatasetWriter, encode_png
from edgewright.data.rows import Label, Row

COLORS = ((220, 40, 40), (40, 60, 220))


def draw(rng, *, side=64):
    """A gray picture with one or two squares; class 0 is red, class 1 blue."""
    image = np.full((side, side, 3), 128, np.uint8) + rng.integers(0, 12, (side, side, 3), dtype=np.uint8)
    labels = []
    for index in range(int(rng.integers(1, 3))):
        class_id, size = int(rng.integers(0, 2)), int(rng.integers(12, 24))
        x, y = (int(value) for value in rng.integers(0, side - size, 2))
        image[y : y + size, x : x + size] = COLORS[class_id]
        labels.append(Label(index, class_id, (float(x), float(y), float(x + size), float(y + size))))
    return image, tuple(labels)


def make_dataset(folder, *, counts, seed=0):
    """A published dataset; `counts` maps (split, origin) to a number of images."""
    rng = np.random.default_rng(seed)
    store = open_store(str(folder))
    with store.workspace() as work:
        writer = DatasetWriter(work, classes=("red", "blue"))
        for (split, origin), count in counts.items():
            for index in range(count):
                image, labels = draw(rng)
                row = Row(
                    id=f"{split}-{origin}-{index:03d}.png",
                    sha256="",
                    width=64,
                    height=64,
                    split=split,
                    origin=origin,
                    labels=labels,
                    state="human" if origin == "real" else "constructed",
                )
                writer.add(row, encode_png(image))
        writer.finish()
        ref = store.publish(work, Content(kind="dataset_real", stage="ingest"), Record())
    return Dataset.open(store, ref)


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    """10 real and 4 synthetic train images, 4 val, 4 test."""
    counts = {("train", "real"): 10, ("train", "synthetic"): 4, ("val", "real"): 4, ("test", "real"): 4}
    return make_dataset(tmp_path_factory.mktemp("squares"), counts=counts)


@pytest.fixture
def make_squares(tmp_path):
    """A dataset with other counts."""
    return lambda **counts: make_dataset(
        tmp_path / "store", counts={tuple(name.split("_")): count for name, count in counts.items()}
    )
