from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from edgewright.errors import InputError
from edgewright.fleet.figures import Figures
from edgewright.fleet.operators import listening_here, operators


def page_of(project: str, channel: str) -> str:
    if project != "belt":
        raise InputError("nothing is released for the project", got=project)
    return f"<h1>belt</h1>{channel}"


@pytest.fixture
def port() -> Iterator[int]:
    figures = Figures()
    figures.enrolled.inc(3)
    shown = operators(
        figures,
        pages=page_of,
        projects=lambda: ["belt", "<nuts>"],
        refresh=lambda gauges: gauges.silent.labels(project="belt").set(2),
    )
    with listening_here(shown, port=0) as port:
        yield port


def get(port: int, path: str, host: str = "localhost") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_projects_their_pages_and_figures(port: int) -> None:
    assert get(port, "/belt") == (200, "<h1>belt</h1>")
    assert get(port, "/belt?channel=night") == (200, "<h1>belt</h1>night")
    status, index = get(port, "/")
    assert status == 200 and 'href="/belt"' in index and "&lt;nuts&gt;" in index
    status, told = get(port, "/metrics")
    assert status == 200
    assert "edgewright_fleet_enrolled_total 3.0" in told
    assert 'edgewright_fleet_silent_devices{project="belt"} 2.0' in told
    assert "edgewright_fleet_check_in_seconds_bucket" in told


def test_what_is_not_there_is_said(port: int) -> None:
    status, said = get(port, "/nuts")
    assert (status, said) == (404, "nothing is released for the project (got nuts)")
    assert get(port, "/belt/../../etc/passwd")[0] == 404


def test_it_answers_under_its_own_name_alone(port: int) -> None:
    """A page elsewhere whose name is made to lead to this machine gets nothing."""
    assert get(port, "/belt", host="rebound.example")[0] == 400
    assert get(port, "/metrics", host="127.0.0.1")[0] == 200
