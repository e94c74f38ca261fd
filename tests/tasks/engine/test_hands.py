"""Who helps a stage follows from the settings alone."""

from __future__ import annotations

import pytest

from edgewright.errors import InputError
from edgewright.fanout.on_ray import RayHands
from edgewright.fanout.processes import ProcessHands
from edgewright.settings import read_settings
from tasks.engine.hands import hands_of
from tasks.serve.ports import free_port


def test_processes_of_this_machine_unless_it_is_said() -> None:
    with hands_of(read_settings({"EDGEWRIGHT_THREADS": "3", "EDGEWRIGHT_RAY_ADDRESS": "h:1"})) as hands:
        assert hands == ProcessHands(3)


def test_ray_where_it_is_said_and_nothing_is_begun_before_it_is_needed() -> None:
    settings = read_settings({"EDGEWRIGHT_FANOUT": "ray", "EDGEWRIGHT_RAY_ADDRESS": f"127.0.0.1:{free_port()}"})
    with hands_of(settings) as hands:
        assert isinstance(hands, RayHands) and not hands.here
        with pytest.raises(InputError, match=r"no Ray cluster answers.*ray start --address"):
            hands.beside(0)
