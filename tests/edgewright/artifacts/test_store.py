"""The laws that hold for every store, tried on a folder and on a real S3 server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewright.artifacts import Content, LocalStore, Record, Store, open_store
from edgewright.errors import ArtifactCorrupt, ArtifactMissing, InputError, SourceError, StoreUnavailable
from edgewright.files import write_atomically

CONTENT = Content(kind="thing", stage="test")


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    bucket = request.getfixturevalue("s3_bucket")
    return open_store(f"s3://{bucket}/some/prefix", scratch=tmp_path / "scratch")


def publish(store: Store, files: dict[str, bytes], content: Content = CONTENT) -> str:
    with store.workspace() as work:
        for name, payload in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(payload)
        return store.publish(work, content, Record()).sha256


def test_what_is_published_can_be_read_by_its_reference(store: Store) -> None:
    digest = publish(store, {"a.txt": b"alpha", "deep/b.bin": b"beta"})
    artifact = store.open(store.ref(digest, "thing"))
    assert artifact.files == ["a.txt", "deep/b.bin"]
    assert artifact.path("deep/b.bin").read_bytes() == b"beta"
    assert artifact.ref.uri == f"{store.uri}/artifacts/{digest}"


def test_equal_content_has_one_digest_and_other_content_another(store: Store) -> None:
    first, again, other = (publish(store, {"a": payload}) for payload in (b"1", b"1", b"2"))
    assert first == again != other
    assert sorted(store.digests()) == sorted({first, other})


def test_work_is_remembered_until_its_artifact_is_deleted(store: Store) -> None:
    ref = store.ref(publish(store, {"a": b"1"}), "thing")
    assert store.recall("key") is None
    store.remember("key", ref)
    assert store.recall("key") == ref
    store.delete(ref.sha256)
    assert store.recall("key") is None
    with pytest.raises(ArtifactMissing):
        store.open(ref)


def write_half(folder: Path) -> None:
    (folder / "half").write_bytes(b"half")
    raise ZeroDivisionError


def test_a_workspace_is_gone_after_an_error(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.workspace() as work:
        write_half(work)
    assert not work.exists()
    assert list(store.digests()) == []


def test_a_file_that_is_not_there_is_named(store: Store) -> None:
    digest = publish(store, {"a": b"1"})
    with pytest.raises(ArtifactMissing, match=r"b\.txt"):
        store.file(digest, "b.txt")


def test_large_files_go_up_in_parts(s3_bucket: str, tmp_path: Path) -> None:
    store = open_store(f"s3://{s3_bucket}", scratch=tmp_path)
    payload = os.urandom(1 << 20) * 18  # above boto3's multipart threshold of 8 MiB
    digest = publish(store, {"weights": payload})
    assert store.file(digest, "weights").read_bytes() == payload


def test_a_wrong_secret_is_refused(s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreUnavailable, match="credentials"):
        publish(open_store(f"s3://{s3_bucket}", scratch=tmp_path), {"a": b"1"})


def test_a_source_prefix_is_fetched_once(s3_bucket: str, tmp_path: Path) -> None:
    import boto3

    from edgewright.artifacts.s3 import fetch_source

    client = boto3.client("s3")
    for key in ("photos/a.jpg", "photos/sub/b.jpg", "photos-other/c.jpg"):
        client.put_object(Bucket=s3_bucket, Key=key, Body=key.encode())
    fetched: list[str] = []
    folder = fetch_source(
        f"s3://{s3_bucket}/photos", tmp_path / "in", on_progress=lambda d, t, what: fetched.append(what)
    )
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == ["a.jpg", "sub/b.jpg"]
    before = (folder / "a.jpg").stat().st_mtime_ns
    fetch_source(f"s3://{s3_bucket}/photos", tmp_path / "in", on_progress=lambda d, t, what: None)
    assert (folder / "a.jpg").stat().st_mtime_ns == before
    assert len(fetched) == 2
    with pytest.raises(SourceError, match="no objects"):
        fetch_source(f"s3://{s3_bucket}/nothing", tmp_path / "none", on_progress=lambda d, t, what: None)


@pytest.mark.parametrize("name", ["a", "manifest.json"])
def test_changed_bytes_are_noticed(tmp_path: Path, name: str) -> None:
    store = LocalStore(tmp_path)
    digest = publish(store, {"a": b"12345678"})
    path = tmp_path / "artifacts" / digest / name
    path.write_bytes(path.read_bytes().replace(b"4", b"5").replace(b'"test"', b'"toast"'))
    with pytest.raises(ArtifactCorrupt):
        store.file(digest, "a")


def test_a_torn_key_is_a_miss(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write_atomically(tmp_path / "keys" / "k.json", b'{"digest": "zz"')
    assert store.recall("k") is None


def test_what_a_cut_delete_left_behind_is_no_artifact_and_no_obstacle(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    digest = publish(store, {"a": b"1"})
    (tmp_path / "artifacts" / digest / "manifest.json").unlink()
    assert list(store.digests()) == []
    assert publish(store, {"a": b"1"}) == digest
    assert store.file(digest, "a").read_bytes() == b"1"


def test_an_unknown_kind_of_store_is_refused() -> None:
    with pytest.raises(InputError, match="ftp"):
        open_store("ftp://somewhere")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real 2 MB file system."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_leaves_no_half_artifact(small_disk: Path) -> None:
    store = LocalStore(small_disk / "store")
    whole = publish(store, {"a": b"1"})
    with pytest.raises(StoreUnavailable, match=r"full.*gc"):
        publish(store, {"big": b"x" * 4_000_000})
    assert list(store.digests()) == [whole]
    assert list(store.scratch.iterdir()) == []
    publish(store, {"b": b"2"})  # and the store goes on working
