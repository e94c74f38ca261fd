"""Whom a new model has to beat: read from the registry before the model gate, and again before an alias moves.

Decides that a model is never compared with itself: the champion is meant that is not this very INT8 file, else the
`previous` one, which it took the place of; and that a tier's model is compared with that tier's champion alone. So an
unchanged run has an unchanged key (ADR 0013): after a model's first run it is the champion itself, and what it was
compared with then is `previous` now. Refuses to guess: MLflow that does not answer is an error, never "no champion"; a
champion whose files cannot be read is handed on as such.

    champion = find_champion(int8, "full")      # in a flow; reads, never writes
"""

from __future__ import annotations

from edgewright.artifacts import Artifact, ArtifactRef, Store
from edgewright.compress.files import INT8_FILE, SPEC_FILE
from edgewright.errors import ArtifactCorrupt, ArtifactMissing, InputError, StageFailed
from edgewright.gates.champion import Champion
from tasks.engine.control import look_up
from tasks.engine.registry import CHAMPION, PREVIOUS, Registry, alias_for
from tasks.engine.session import Session, current_session

_NEEDED = (INT8_FILE, SPEC_FILE)


@look_up
def find_champion(model: ArtifactRef, tier: str) -> Champion:
    """The tier's champion that `model` is to be compared with. Raises StoreUnavailable where MLflow does not say."""
    session = current_session()
    if session is None:
        raise StageFailed("a champion was looked for outside a pipeline run")
    return champion_beside(session, model, tier)


def champion_beside(session: Session, model: ArtifactRef, tier: str) -> Champion:
    """The tier's champion that is not `model`, else the previous one that is not, else none."""
    if not session.tracker.has_begun:
        return Champion()
    own = session.store.open(model).manifest.content.files[INT8_FILE].sha256
    registry = Registry(session.tracker, session.link.project)
    aliases = registry.aliases
    for alias in (alias_for(CHAMPION, tier), alias_for(PREVIOUS, tier)):
        tags = registry.tags_of(aliases[alias]) if alias in aliases else {"sha256": own}
        if tags.get("sha256") != own:
            return _found(session.store, tags, version=aliases[alias], kind=model.kind)
    return Champion()


def require_compared(session: Session, verdict: Artifact, model: ArtifactRef, tier: str) -> None:
    """Raises StageFailed where the model was compared with another champion than there is: two runs, one registry."""
    compared, now = verdict.manifest.content.inputs.get("champion", ""), champion_beside(session, model, tier).digest
    if compared != now:
        raise StageFailed(
            "the champion changed while this model was judged",
            expected=compared or "nothing compared",
            got=now,
            where="gate_model",
            next_step="run the same command again: it compares with the champion of now",
        )


def _found(store: Store, tags: dict[str, str], *, version: str, kind: str) -> Champion:
    """As the registry names it; whole, or with what is wrong with it."""
    try:
        ref = store.ref(tags.get("artifact", ""), kind)
    except InputError:
        return Champion(unreadable=f"version {version} of the model names no artifact")
    try:
        artifact = store.open(ref)
        for name in _NEEDED:
            artifact.path(name)
    except (ArtifactMissing, ArtifactCorrupt) as error:
        return Champion(ref, unreadable=error.what)
    return Champion(ref)
