"""What is said of where weights began."""

from __future__ import annotations

from edgewright.learning.provenance import Provenance

LITE = Provenance("Lite", "an index", "Apache-2.0", "learned on pictures", "ab" * 32, taken=90, weights=100)


def test_it_survives_its_own_words() -> None:
    assert Provenance(**LITE.to_json()) == LITE


def test_a_person_reads_name_license_share_and_note() -> None:
    assert LITE.sentence == "Lite (Apache-2.0), 90% of its weights, sha256 abababababab…; learned on pictures"
    assert Provenance().sentence == "random numbers"


def test_a_file_that_is_taken_whole_by_the_library_has_its_name_and_digest() -> None:
    assert Provenance("mine.pt", sha256="cd" * 32).sentence == "mine.pt, sha256 cdcdcdcdcdcd…"


def test_what_goes_with_a_release_is_words_alone() -> None:
    assert set(LITE.facts()) == {"name", "source", "license", "note", "sha256"}
    assert Provenance().facts() == {}
