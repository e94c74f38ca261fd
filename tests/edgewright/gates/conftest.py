"""A store for data sets of painted pictures, and the real one that the gates compare with."""

from __future__ import annotations

import pytest

from edgewright.artifacts import LocalStore
from edgewright.data.dataset import Dataset
from tests.gated import TRAIN, Publish, publisher, scenes


@pytest.fixture(scope="module")
def publish(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    return publisher(LocalStore(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def real(publish: Publish) -> Dataset:
    parts = {"train": TRAIN, "val": scenes(40, seed=1), "test": scenes(20, seed=2)}
    return publish(parts, origin="real")
