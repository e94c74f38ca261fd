"""The labeler's scenes, in a store of this room's own."""

from __future__ import annotations

from tests.edgewright.label.conftest import publish as publish
from tests.edgewright.label.conftest import scene as scene
from tests.edgewright.label.conftest import store as store
