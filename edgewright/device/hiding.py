"""What a policy wants hidden is looked for and hidden in memory, before a picture is written or sent.

Decides where something is to be hidden: wherever a class of the detector's, or any of another bundle's, is suspected,
by a look of its own at the whole picture. Refuses to be made where that cannot be done: the detector knows no such
class, the bundle that finds it is missing, another one or fails. How it is made unrecognizable is `blur.py`'s.

    hide = hiding(home, bundle, policy)
    picture, n_hidden = hide(picture)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import numpy as np
from PIL import Image as PillowImage

from edgewright.device.blur import hidden
from edgewright.device.frames_policy import FramesPolicy
from edgewright.device.home import Home
from edgewright.errors import ArtifactCorrupt, InputError
from edgewright.runtime.boxes import Boxes, Image
from edgewright.runtime.bundle import Bundle
from edgewright.runtime.decode import suspected
from edgewright.runtime.engines import Engine, open_network
from edgewright.runtime.preprocess import letterbox
from edgewright.runtime.session import Predictor

BLUR_FOLDER = "blur"
HIDDEN_FROM = 0.05
"""Score from which something is hidden: what is hidden for nothing costs little."""
Hide = Callable[[PillowImage.Image], tuple[PillowImage.Image, int]]
"""A copy without it, and at how many places. Raises InputError where it cannot be looked for in this picture."""


def hiding(home: Home, bundle: Bundle, policy: FramesPolicy) -> Hide:
    """Raises ArtifactCorrupt, InputError, OSError: what is to be hidden cannot be looked for."""
    if missing := sorted(set(policy.blur) - set(bundle.manifest.spec.classes)):
        raise InputError(f"{', '.join(missing)} should be hidden, and the detector knows no such class")
    finders = tuple(_finders(home, bundle, policy))

    def hide(picture: PillowImage.Image) -> tuple[PillowImage.Image, int]:
        pixels = np.asarray(picture)
        secret = Boxes.concatenate([finder(pixels) for finder in finders]) if finders else Boxes.empty()
        return hidden(picture, secret), len(secret)

    return hide


def _finders(home: Home, bundle: Bundle, policy: FramesPolicy) -> Iterator[Predictor]:
    """Classes of the detector, and all of another bundle."""
    if policy.blur:
        classes = [number for number, name in enumerate(bundle.manifest.spec.classes) if name in policy.blur]
        yield _finder(bundle, classes)
    if policy.blur_bundle:
        other = Bundle.load(home.root / BLUR_FOLDER)
        if other.manifest_sha256 != policy.blur_bundle:
            got = other.manifest_sha256[:12]
            raise ArtifactCorrupt("another bundle finds what is hidden", expected=policy.blur_bundle[:12], got=got)
        yield _finder(other, range(len(other.manifest.spec.classes)))


def _finder(bundle: Bundle, classes: Collection[int]) -> Predictor:
    """Wherever one of these classes is suspected, however likely another is there. Px of the picture."""
    network, spec = open_network(bundle.model, Engine()), bundle.manifest.spec

    def find(image: Image) -> Boxes:
        tensor, geometry = letterbox(image, size_px=spec.input_px)
        found = suspected(network(tensor), layout=spec.layout, classes=classes, score_threshold=HIDDEN_FROM)
        return geometry.to_source(found)

    return find
