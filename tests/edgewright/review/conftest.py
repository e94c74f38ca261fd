"""The labeler's scenes, in a store of this room's own, and the first artifacts of a run."""

from __future__ import annotations

from tests.edgewright.label.conftest import publish as publish
from tests.edgewright.label.conftest import scene as scene
from tests.edgewright.label.conftest import store as store
from tests.tasks.conftest import open_session as open_session
from tests.tasks.conftest import publish_photographs as publish_photographs
from tests.tasks.conftest import run as run
from tests.tasks.conftest import tracker as tracker
