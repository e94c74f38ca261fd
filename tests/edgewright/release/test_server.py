from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from edgewright.errors import InputError
from edgewright.release.server import MAX_REPORT_BYTES, RepositoryServer, serve_releases, serve_repository


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RepositoryServer]:
    repository = tmp_path / "repository"
    (repository / "metadata").mkdir(parents=True)
    (repository / "targets/stable").mkdir(parents=True)
    (repository / "metadata/timestamp.json").write_bytes(b"{}")
    (repository / "metadata/link.json").symlink_to(tmp_path / "secret")
    (repository / "targets/stable/model.onnx").write_bytes(bytes(range(256)) * 1000)
    (repository / "secret").write_bytes(b"secret")
    (tmp_path / "secret").write_bytes(b"secret")
    with serve_repository(repository, reports=tmp_path / "reports") as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Iterator[RepositoryServer]:
    """The releases of two projects, a folder that is none, and a link to another folder's."""
    for project in ("nuts", "bolts"):
        (tmp_path / f"releases/{project}/metadata").mkdir(parents=True)
        (tmp_path / f"releases/{project}/metadata/timestamp.json").write_text(project)
    (tmp_path / "releases/keys").mkdir()
    (tmp_path / "outside/metadata").mkdir(parents=True)
    (tmp_path / "outside/metadata/timestamp.json").write_text("secret")
    (tmp_path / "metadata").mkdir()
    (tmp_path / "releases/link").symlink_to(tmp_path / "outside")
    with serve_releases(tmp_path / "releases", host="127.0.0.1", port=0) as running:
        yield running


def request(
    server: RepositoryServer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_files_are_served_whole(server: RepositoryServer) -> None:
    assert request(server, "GET", "/metadata/timestamp.json") == (200, b"{}")
    assert request(server, "GET", "/targets/stable/model.onnx") == (200, bytes(range(256)) * 1000)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/secret",  # beside the served folders
        "/metadata",  # a folder
        "/metadata/none.json",
        "/metadata/link.json",  # a link out of the repository
        "/metadata/../secret",
        "/metadata/%2e%2e/secret",
        "/metadata/..%2fsecret",
        "/targets/stable/../../secret",
        "/metadata/.hidden",
        "/keys/root-1.pem",
        "/reports/../secret",
        "/reports/never-seen",
    ],
)
def test_other_paths_are_not_found(server: RepositoryServer, path: str) -> None:
    assert request(server, "GET", path) == (404, b"")


def test_the_last_report_can_be_read_and_all_were_received(server: RepositoryServer, tmp_path: Path) -> None:
    for release in (1, 2):
        assert request(server, "POST", "/reports/line-1", json.dumps({"release": release}).encode()) == (204, b"")
    status, body = request(server, "GET", "/reports/line-1")
    assert (status, json.loads(body)) == (200, {"release": 2})
    assert server.received == {"line-1": [{"release": 1}, {"release": 2}]}
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["line-1.json"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/reports/line-1", b"[1]", {}, 400),  # no object
        ("/reports/line-1", b"{", {}, 400),
        ("/reports/line-1", b"[" * 60_000, {}, 400),  # nested beyond reading
        ("/reports/line-1", b"{}", {"Content-Length": str(MAX_REPORT_BYTES + 1)}, 413),
        ("/reports/line-1", None, {"Transfer-Encoding": "chunked"}, 411),
        ("/reports/..", b"{}", {}, 404),
        ("/reports/a/b", b"{}", {}, 404),
        ("/metadata/timestamp.json", b"{}", {}, 404),  # read-only
    ],
)
def test_reports_that_are_refused(
    server: RepositoryServer, tmp_path: Path, path: str, body: bytes | None, headers: dict[str, str], status: int
) -> None:
    assert request(server, "POST", path, body, headers)[0] == status
    assert server.received == {}
    assert list((tmp_path / "reports").iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "status", "part", "said"),
    [
        ("bytes=0-9", 206, slice(0, 10), "bytes 0-9/256000"),
        ("bytes=255990-", 206, slice(255990, None), "bytes 255990-255999/256000"),
        ("bytes=-10", 206, slice(-10, None), "bytes 255990-255999/256000"),
        ("bytes=100000-999999", 206, slice(100000, None), "bytes 100000-255999/256000"),
        ("bytes=0-255999", 200, slice(None), None),
        ("bytes=5-2", 200, slice(None), None),  # no range: ignored
        ("lines=1-2", 200, slice(None), None),
        ("bytes=256000-", 416, slice(0, 0), "bytes */256000"),
    ],
)
def test_a_part_of_a_file(server: RepositoryServer, asked: str, status: int, part: slice, said: str | None) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", "/targets/stable/model.onnx", headers={"Range": asked})
    answer = connection.getresponse()
    assert (answer.status, answer.read(), answer.getheader("Content-Range")) == (
        status,
        (bytes(range(256)) * 1000)[part],
        said,
    )
    connection.close()


def test_each_project_below_its_name(home: RepositoryServer, tmp_path: Path) -> None:
    for project in ("nuts", "bolts"):
        assert request(home, "GET", f"/{project}/metadata/timestamp.json") == (200, project.encode())
    assert request(home, "POST", "/bolts/reports/line-1", b"{}") == (204, b"")
    assert [path.name for path in (tmp_path / "releases/bolts/reports").iterdir()] == ["line-1.json"]
    (tmp_path / "releases/new/metadata").mkdir(parents=True)  # released while it is served
    (tmp_path / "releases/new/metadata/timestamp.json").write_text("new")
    assert request(home, "GET", "/new/metadata/timestamp.json") == (200, b"new")


@pytest.mark.parametrize(
    "path",
    [
        "/metadata/timestamp.json",  # of no project
        "/none/metadata/timestamp.json",
        "/link/metadata/timestamp.json",  # a link out of the folder
        "/../metadata/timestamp.json",
        "/%2e%2e/metadata/timestamp.json",
        "/nuts/../bolts/metadata/timestamp.json",
        "/nuts",
    ],
)
def test_other_paths_of_a_home_are_not_found(home: RepositoryServer, path: str) -> None:
    assert request(home, "GET", path) == (404, b"")


@pytest.mark.parametrize("path", ["/keys/reports/line-1", "/link/reports/line-1", "/../reports/line-1"])
def test_reports_go_to_a_project_or_nowhere(home: RepositoryServer, tmp_path: Path, path: str) -> None:
    assert request(home, "POST", path, b"{}")[0] == 404
    assert list(tmp_path.rglob("reports")) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])
def test_only_loopback(tmp_path: Path, host: str) -> None:
    with pytest.raises(InputError, match="no authentication"), serve_repository(tmp_path, reports=tmp_path, host=host):
        pass
