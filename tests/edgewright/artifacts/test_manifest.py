"""Laws of manifests and references."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.artifacts import ArtifactRef, Content, Manifest, Record, canonical_json, sha256_bytes
from edgewright.artifacts.manifest import FileEntry
from edgewright.errors import ArtifactCorrupt, InputError
from tests.goldens import Golden

DIGEST = sha256_bytes(b"x")
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)
contents = st.builds(
    Content,
    kind=st.text(min_size=1, max_size=8),
    stage=st.text(max_size=8),
    config=st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    inputs=st.dictionaries(st.text(max_size=5), st.just(DIGEST), max_size=2),
    seed=st.integers(0, 2**31),
    files=st.dictionaries(
        st.text(min_size=1, max_size=9), st.builds(FileEntry, st.just(DIGEST), st.integers(0, 9)), max_size=2
    ),
)


@given(contents, st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=3))
def test_a_manifest_survives_the_round_trip(content: Content, metrics: dict[str, float]) -> None:
    manifest = Manifest(content, Record(metrics=metrics, host="h"))
    again = Manifest.from_bytes(manifest.to_bytes())
    assert again == manifest
    assert again.digest == manifest.digest


@given(json_values)
def test_canonical_json_ignores_the_order_of_keys(value: object) -> None:
    assert canonical_json({"a": 1, "b": value}) == canonical_json(dict(reversed([("a", 1), ("b", value)])))


def test_the_record_is_not_hashed_and_the_content_is() -> None:
    content = Content(kind="k", stage="s")
    digests = {Manifest(content, Record(host=host, seconds=t)).digest for host, t in (("a", 1.0), ("b", 2.0))}
    assert len(digests) == 1
    assert Manifest(Content(kind="k", stage="s", seed=1), Record()).digest not in digests


def test_the_bytes_of_a_manifest_and_the_digest_of_its_content(golden: Golden) -> None:
    """Another digest of the same content would be another name for every artifact there is."""
    content = Content(
        kind="dataset_real",
        stage="ingest",
        config={"layout": "auto", "min_images": 1, "share": 0.2, "names": ["größer", "<&>"]},
        inputs={"source": DIGEST},
        seed=7,
        licence="CC-BY-4.0",
        files={"index/part-00000.parquet": FileEntry(DIGEST, 1)},
    )
    record = Record({"images": 3.0}, {"simulated": True}, "2026-03-01T10:15:00+00:00", 1.5, "here", {"numpy": "2.0"})
    golden("manifest.json", Manifest(content, record).to_bytes())
    assert Manifest(content, record).digest == "acddef21287408515caaa872c09cbe4c6219625527dea7c378d6c2b5a235c00d"


@pytest.mark.parametrize(
    "payload",
    [
        b"",  # an empty file: a write that was cut short without our order
        b"{",  # torn JSON
        b"[]",  # JSON of another shape
        b'{"content": {}, "record": {}}',  # nothing in it
        b'{"content": {"format_version": 99, "files": {}}, "record": {}}',  # from the future
    ],
)
def test_other_bytes_are_refused(payload: bytes) -> None:
    with pytest.raises(ArtifactCorrupt):
        Manifest.from_bytes(payload, where="here")


def test_nan_is_refused_before_it_is_hashed() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"x": float("nan")})


def test_a_reference_survives_json_and_knows_its_store() -> None:
    ref = ArtifactRef(f"s3://bucket/p/artifacts/{DIGEST}", DIGEST, "application/vnd.edgewright.generator")
    assert ArtifactRef.from_json(ref.to_json()) == ref
    assert (ref.kind, ref.store_uri) == ("generator", "s3://bucket/p")


@pytest.mark.parametrize(("uri", "sha256"), [("s3://b/artifacts/00", DIGEST), (f"s3://b/artifacts/{DIGEST}", "zz")])
def test_a_reference_that_does_not_name_its_digest_is_refused(uri: str, sha256: str) -> None:
    with pytest.raises(InputError):
        ArtifactRef(uri, sha256, "application/vnd.edgewright.x")
