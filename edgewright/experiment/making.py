"""What the makers of synthetic pictures had learned from: read off the artifacts that the pictures were made by.

Decides which methods know more of a photograph than their pictures name. A compositor's picture holds pixels of its
parents and of no other photograph; a network has learned from every `train` photograph and may put any of it into any
picture. Refuses nothing: where the store does not know how pictures were made, it says that.

    learned_from(synthetic, store) == ""                       # a compositor's
"""

from __future__ import annotations

from edgewright.artifacts import Manifest, Store
from edgewright.data.dataset import Dataset
from edgewright.errors import EdgewrightError

_UP = ("dataset", "generator")
"""By which input `label` leads to `generate`, and that to the generator."""
_NAMES_ALL = ("compositor", "copier")


def learned_from(synthetic: Dataset, store: Store) -> str:
    """Empty where the pictures hold nothing of a photograph that they do not name; else a sentence."""
    method = generator_method(synthetic, store)
    if method in _NAMES_ALL:
        return ""
    if not method:
        return (
            "how the pictures were made is not known; those that name a held-out photograph were left out of its fold"
        )
    return (
        f"the generator ({method}) was not refitted: it has learned from train photographs that a fold holds out; "
        "pictures that name one were left out of its fold"
    )


def generator_method(synthetic: Dataset, store: Store) -> str:
    """`train_generator.method` of the generator that made the pictures; empty where the store does not say."""
    manifest: Manifest | None = synthetic.manifest
    for _ in range(1 + len(_UP)):
        if manifest is None:
            return ""
        if manifest.content.kind == "generator":
            return str(manifest.content.config.get("method", ""))
        manifest = next(
            (
                _manifest(store, manifest.content.inputs[name])
                for name in reversed(_UP)
                if name in manifest.content.inputs
            ),
            None,
        )
    return ""


def _manifest(store: Store, digest: str) -> Manifest | None:
    try:
        return store.manifest(digest)
    except EdgewrightError:
        return None
