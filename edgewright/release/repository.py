"""The signed repository of a project: which releases are permitted on each channel, and which of them is rolled out.

    metadata/   <n>.root.json <n>.targets.json <n>.rollout.json <n>.snapshot.json timestamp.json
    targets/    <channel>/<tier>/<release>/<sha256>.manifest.json, <sha256>.model.onnx, golden/<sha256>.<name>.png
                <channel>/<sha256>.policy.json      the floor; its numbers stand in the signed metadata too
                rollout/<sha256>.<channel>.json     the plan
                <channel>/<sha256>.manifest.json …  the newest release once more, for agents that know no plan

Decides what is permitted (role `targets`, offline) and what a cohort runs (role `rollout`, online, delegated).
The bundles of all tiers are permitted by one signature of `targets`, so that no device sees one tier new and another
old. Publishing equal bundles publishes nothing. A rollout can be stopped whatever has become of its release. Refuses a
number that is not higher than every one before on the channel, a plan that has devices run what is not permitted or
lies below the floor, and files that are not as they are signed.

>>> publish_release(bundle, repository=repository, keys=keys, channel="stable", now=now).version
3
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import TargetFile

from edgewright.device.offer import POLICY_FILE, TIERS, Course, Plan, Policy, plan_path, target_path
from edgewright.errors import ArtifactCorrupt, InputError, StoreUnavailable
from edgewright.files import READABLE, locked, write_atomically
from edgewright.release.keys import (
    Keys,
    Passphrase,
    make_keys,
    path_of,
    read_keys,
    role_opens_alone,
    roles_in,
    secret_of,
    write_key,
)
from edgewright.release.metadata import LEFT, LIFETIME, ROLLOUT, SignedSet, Waiting
from edgewright.release.server import METADATA
from edgewright.runtime.bundle import MANIFEST_FILE, Bundle


@dataclass(frozen=True)
class ReleaseReport:
    """What is current on the channel after publishing.

    Attributes:
        version: the release number, one for all tiers.
        digests: tier => of its bundle's content, the number apart.
        published: False where equal bundles were current already.
        signed: the TUF roles that were signed, in order.
        targets: the signed names of the release.
        bytes: of the bundles' files, all tiers together.
        waits: the roles of which something waits in `pending/` for the online keys.
    """

    version: int
    digests: Mapping[str, str]
    channel: str
    published: bool
    signed: tuple[str, ...]
    targets: tuple[str, ...]
    bytes: int
    waits: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of the first tier that was published."""
        return next(iter(self.digests.values()))


ReadKeys = Callable[[tuple[str, ...]], Keys]
"""Roles => their signers: how the keys are opened."""


def publish_release(bundle_dir: Path, *, tier: str = TIERS[0], **told: Any) -> ReleaseReport:
    """Permit one bundle: `publish_tiers` of it alone, with the same arguments and errors."""
    return publish_tiers({tier: bundle_dir}, **told)


def publish_tiers(
    bundle_dirs: Mapping[str, Path],
    *,
    repository: Path,
    keys: Path,
    channel: str,
    now: datetime,
    roll_out: bool = True,
    secret: Path | None = None,
    passphrase: Passphrase | None = None,
) -> ReleaseReport:
    """Permit a bundle a tier under one number, and have all devices run it unless that is left to a rollout.

    Afterwards the folder holds exactly what is released. Laws: publishing twice is publishing once; release numbers and
    metadata versions only rise; cut off at any point, devices of every tier see the old release, or all see the new
    one. Where one tier's bundle is new, all are published under the new number. Keys and repository are made where
    there are none yet. What is half expired is signed again either way.

    Args:
        bundle_dirs: tier => its bundle.
        roll_out: needs the key of `rollout` beside that of `targets`.
        secret: the file of what opens the keys, where it does not lie beside them.
        passphrase: asked for keys that it does not open; none: those are refused.

    Raises:
        ArtifactCorrupt: a bundle or the repository is damaged.
        InputError: another channel, a number that is not new or not the other bundles', an unknown tier, or keys that
            are not the repository's.
        StoreUnavailable: the repository cannot be written.
    """
    bundles = _loaded(bundle_dirs, channel)
    with writing(repository):
        metadata = repository / METADATA
        new = not SignedSet.exists(metadata)
        if new:
            signers = make_keys(keys, secret=secret)
            signed_set = SignedSet.create(metadata, signers, now=now)
        else:
            signed_set = SignedSet.read_with_waiting(metadata, now=now)
            signers = _opened(signed_set, keys, roll_out=roll_out, secret=secret, passphrase=passphrase)
        changed = _with_rollouts(signed_set, signers, repository / "targets", now=now)
        version = _number_of_equal(signed_set, bundles, channel)
        published = version is None
        if version is None:
            version = _permit(signed_set, bundles, repository / "targets", channel=channel)
            changed.add("targets")
        else:
            _number(bundles, version)
        if roll_out and not _is_everywhere(signed_set, repository, channel, version):
            plan = Plan(f"release-{version}", version, share=1.0, otherwise=version)
            _set_plan(signed_set, plan, repository / "targets", channel=channel)
            changed.add(ROLLOUT)
        signed = signed_set.sign(signers, now=now, changed=changed)
    return ReleaseReport(
        version=version,
        digests={tier: bundle.manifest.digest for tier, bundle in bundles.items()},
        channel=channel,
        published=published,
        signed=signed,
        targets=tuple(
            sorted(
                target_path(channel, tier, version, name)
                for tier, bundle in bundles.items()
                for name in [MANIFEST_FILE, *bundle.manifest.files]
            )
        ),
        bytes=sum(bundle.manifest.total_bytes for bundle in bundles.values()),
        waits=signed_set.waiting(),
    )


def set_plan(
    plan: Plan, *, repository: Path, keys: Path, channel: str, now: datetime, secret: Path | None = None
) -> tuple[str, ...]:
    """Have cohorts run what the plan says; the roles that were signed. The online keys are enough.

    What is checked is what devices are to begin with: of a rollout that is halted or withdrawn not its release. Halting
    is never refused for a floor: devices refuse by themselves what lies below it.

    Raises:
        InputError: a release that is not permitted or lies below the floor; keys that are not the repository's.
        ArtifactCorrupt, StoreUnavailable: the repository is damaged, or cannot be written.
    """
    with writing(repository):
        signed_set = SignedSet.read(repository / METADATA)
        if signed_set.rollout is None:
            raise InputError("the repository has no rollouts yet", next_step="publish a release, which adds them")
        known, floor = permitted_releases(signed_set, channel), policy_of(signed_set, channel).floor
        for release in filter(None, _to_be_run(plan)):
            if release not in known:
                expected = ", ".join(map(str, known))
                raise InputError("a release that is not permitted on the channel", expected=expected, got=release)
            if release < floor and plan.state is not Course.HALTED:
                raise InputError("a release below the channel's floor", expected=f">= {floor}", got=release)
        _set_plan(signed_set, plan, repository / "targets", channel=channel)
        signers = read_keys(keys, (ROLLOUT, "snapshot", "timestamp"), secret=secret)
        return signed_set.sign(signers, now=now, changed=(ROLLOUT,))


def set_policy(
    change: Callable[[Policy], Policy],
    *,
    repository: Path,
    channel: str,
    now: datetime,
    read: ReadKeys,
) -> tuple[Policy, tuple[str, ...]]:
    """Change a channel's floor, or allow devices to go back below it; the policy, and the roles that were signed.

    Args:
        read: opens the key of `targets`, and those of snapshot and timestamp where they are here.

    Raises:
        InputError: no release is permitted on the channel.
    """
    _refuse_reserved(channel)
    with writing(repository):
        signed_set = SignedSet.read_with_waiting(repository / METADATA, now=now)
        if not permitted_releases(signed_set, channel):
            next_step = "publish a release first, which a repository of before needs too"
            raise InputError("a floor on a channel that permits no release", got=channel, next_step=next_step)
        before = policy_of(signed_set, channel)
        policy = replace(change(before), version=before.version + 1)
        _set_policy(signed_set, policy, repository / "targets", channel=channel)
        return policy, signed_set.sign(read(("targets", "snapshot", "timestamp")), now=now, changed=("targets",))


def revoke_release(release: int, *, repository: Path, channel: str, now: datetime, read: ReadKeys) -> tuple[str, ...]:
    """The release is permitted no longer, in any tier and under any name; the roles that were signed.

    Raises:
        InputError: it is not permitted now, or the plan rolls it out.
    """
    with writing(repository):
        signed_set = SignedSet.read_with_waiting(repository / METADATA, now=now)
        if release not in permitted_releases(signed_set, channel):
            raise InputError("a release that is not permitted on the channel", got=release)
        plan = plan_of(signed_set, repository, channel)
        if plan and release in (plan.release, plan.otherwise):
            next_step = "roll another one out first: devices would have nothing to run"
            raise InputError("the release is rolled out", got=release, next_step=next_step)
        for tier in TIERS:
            signed_set.drop(f"{channel}/{tier}/{release}/")
        if _of_old_agents(signed_set, channel) == release:
            signed_set.drop_of_old_agents(channel)
        return signed_set.sign(read(("targets", "snapshot", "timestamp")), now=now, changed=("targets",))


@dataclass(frozen=True)
class Renewal:
    """Attributes:
    signed: the TUF roles that were signed again, in order.
    offline: half expired roles whose keys are not in the folder.
    refused: what waited in `pending/` and was not announced, a sentence each.
    """

    signed: tuple[str, ...]
    offline: tuple[str, ...]
    refused: tuple[str, ...] = ()


def renew(repository: Path, *, keys: Path, now: datetime, secret: Path | None = None) -> Renewal:
    """Sign again what is half expired, and announce what offline keys signed elsewhere.

    So devices can tell a quiet server from a frozen one. Law: renewing twice is renewing once. The keys of the
    timestamp alone are enough while the others are fresh. What waits and is refused stops nothing; what was overtaken
    is taken away.

    Raises:
        ArtifactCorrupt: the repository is damaged.
        InputError: keys that are not the repository's, or a clock that went back.
        StoreUnavailable: the repository cannot be written.
    """
    with writing(repository):
        metadata = repository / METADATA
        signed_set = SignedSet.read(metadata)
        here = _opening_alone(keys, secret=secret)
        waiting = signed_set.adopt(now=now) if {"snapshot", "timestamp"} <= set(here) else Waiting()
        due = signed_set.due(now)
        needed = {*due, "snapshot", "timestamp"}
        mine = tuple(role for role in signed_set.roles if role in here and role in needed)
        signed = signed_set.sign(read_keys(keys, mine, secret=secret), now=now) if due or waiting.taken else ()
        signed_set.discard({*LEFT} - {*signed_set.waiting()} | {*waiting.stale})
        return Renewal(signed, tuple(role for role in due if role not in here), tuple(waiting.why.values()))


@dataclass(frozen=True)
class RepositoryState:
    """What a repository offers, and until when devices may believe it.

    Attributes:
        releases: channel => the release that is rolled out, or the newest.
        permitted: channel => all that may be run, rising.
        plans, policies: by channel.
        expires: TUF role => when it expires.
        signed: when the timestamp was signed.
    """

    releases: Mapping[str, int]
    permitted: Mapping[str, tuple[int, ...]]
    plans: Mapping[str, Plan]
    policies: Mapping[str, Policy]
    expires: Mapping[str, datetime]
    signed: datetime

    def to_json(self) -> dict[str, Any]:
        return {
            "releases": dict(self.releases),
            "permitted": {channel: list(numbers) for channel, numbers in self.permitted.items()},
            "plans": {channel: json.loads(plan.to_bytes()) for channel, plan in self.plans.items()},
            "policies": {channel: policy.to_json() for channel, policy in self.policies.items()},
            "expires": {role: when.isoformat() for role, when in self.expires.items()},
            "signed": self.signed.isoformat(),
        }


def state_of(repository: Path) -> RepositoryState:
    """Raises ArtifactCorrupt where the repository is damaged."""
    signed_set = SignedSet.read(repository / METADATA)
    channels = sorted({path.partition("/")[0] for path in signed_set.targets.signed.targets})
    expires = {role: signed_set.role(role).signed.expires for role in signed_set.roles}
    plans = {channel: plan for channel in channels if (plan := plan_of(signed_set, repository, channel))}
    permitted = {
        channel: permitted_releases(signed_set, channel) or tuple(filter(None, [_of_old_agents(signed_set, channel)]))
        for channel in channels
    }
    return RepositoryState(
        releases={
            channel: plans[channel].release if channel in plans else max(numbers, default=0)
            for channel, numbers in permitted.items()
        },
        permitted=permitted,
        plans=plans,
        policies={channel: policy_of(signed_set, channel) for channel in channels},
        expires=expires,
        signed=expires["timestamp"] - LIFETIME["timestamp"],
    )


def repositories_in(releases: Path) -> list[Path]:
    """The projects' repositories in a home's folder of releases, by name."""
    return sorted(path for path in releases.glob("*") if SignedSet.exists(path / METADATA))


def next_release_number(repository: Path, channel: str) -> int:
    """One above every release that the channel ever had, what waits included; 1 where there is none."""
    if not SignedSet.exists(repository / METADATA):
        return 1
    signed_set = SignedSet.read(repository / METADATA)
    signed_set.adopt()
    return next_number(signed_set, channel)


def next_number(signed_set: SignedSet, channel: str) -> int:
    """As `next_release_number`, of what was read. What is permitted no longer counts."""
    policy = signed_set.targets.signed.targets.get(f"{channel}/{POLICY_FILE}")
    ever = int((policy.custom or {}).get("newest", 0)) if policy else 0
    return 1 + max([ever, _of_old_agents(signed_set, channel), *permitted_releases(signed_set, channel)])


def permitted_releases(signed_set: SignedSet, channel: str) -> tuple[int, ...]:
    """In any tier, rising."""
    return tuple(sorted(tiers_of(signed_set, channel)))


def tiers_of(signed_set: SignedSet, channel: str) -> dict[int, tuple[str, ...]]:
    """Permitted release => the tiers that it has a bundle for, the best first."""
    paths = (path.split("/") for path in signed_set.targets.signed.targets if path.startswith(f"{channel}/"))
    found = {(int(parts[2]), parts[1]) for parts in paths if len(parts) > 3 and parts[1] in TIERS}
    return {release: tuple(tier for tier in TIERS if (release, tier) in found) for release, _ in sorted(found)}


def policy_of(signed_set: SignedSet, channel: str) -> Policy:
    target = signed_set.targets.signed.targets.get(f"{channel}/{POLICY_FILE}")
    return Policy.from_json(target.custom if target else None)


def plan_of(signed_set: SignedSet, repository: Path, channel: str) -> Plan | None:
    """Raises ArtifactCorrupt where its file is missing, is not as it is signed, or is no plan."""
    target = signed_set.rollout.signed.targets.get(plan_path(channel)) if signed_set.rollout else None
    if target is None:
        return None
    payload = as_signed(target, repository / "targets")
    try:
        return Plan.from_bytes(payload)
    except InputError as error:
        where, next_step = repository / "targets" / target.get_prefixed_paths()[0], "sign another plan"
        raise ArtifactCorrupt("a signed plan is none", got=error.what, where=where, next_step=next_step) from error


def as_signed(target: TargetFile, folder: Path) -> bytes:
    """The file's bytes. Raises ArtifactCorrupt where they are not there, or not what is signed."""
    path = folder / target.get_prefixed_paths()[0]
    try:
        payload = path.read_bytes()
        target.verify_length_and_hashes(payload)
    except (OSError, LengthOrHashMismatchError) as error:
        next_step = "put the file back as it was; `edgewright release verify` names all that are not as they are signed"
        raise ArtifactCorrupt(
            "a file is not as it is signed",
            expected=f"{target.length} bytes",
            got=error,
            where=path,
            next_step=next_step,
        ) from error
    return payload


def _to_be_run(plan: Plan) -> tuple[int, ...]:
    """The releases that a device may begin to run by this plan; 0: what it runs."""
    return (plan.release, plan.otherwise) if plan.state is Course.RUNNING else (plan.otherwise,)


def _refuse_reserved(channel: str) -> None:
    """The plans lie below the name of their role."""
    if channel == ROLLOUT:
        raise InputError("a channel's name that is taken", got=channel, next_step="name the channel otherwise")


def _opened(
    signed_set: SignedSet, keys: Path, *, roll_out: bool, secret: Path | None, passphrase: Passphrase | None
) -> Keys:
    """What publishing signs with: targets, what is asked for beside it, and whatever else is here and opens by itself.

    The key of `rollout`, and no other, is made where the repository is from before the role: what else is missing lies
    elsewhere.
    """
    without = signed_set.rollout is None
    wanted = dict.fromkeys(
        ("targets", *((ROLLOUT,) if roll_out or without else ()), *_opening_alone(keys, secret=secret))
    )
    made = without and not path_of(keys, ROLLOUT).exists()
    first = [role for role in wanted if role != ROLLOUT or not made]
    opened = read_keys(keys, first, passphrase=passphrase, secret=secret)
    if not made:
        return opened
    write_key(keys, ROLLOUT, passphrase=secret_of(keys, secret))
    return {**opened, **read_keys(keys, (ROLLOUT,), secret=secret)}


def _opening_alone(keys: Path, *, secret: Path | None) -> tuple[str, ...]:
    """The roles of which enough keys lie here and need no person."""
    return tuple(role for role in roles_in(keys) if role_opens_alone(keys, role, secret=secret))


def _with_rollouts(signed_set: SignedSet, signers: Keys, folder: Path, *, now: datetime) -> set[str]:
    """A repository of before gets the role, and its releases the names that plans know; what is to be signed for it."""
    if signed_set.rollout is not None:
        return set()
    signed_set.delegate([signer.public_key for signer in signers[ROLLOUT]], now=now)
    for path, target in list(signed_set.targets.signed.targets.items()):
        channel, _, name = path.partition("/")
        release = int((target.custom or {}).get("release", 0))
        payload = as_signed(target, folder)
        _put(signed_set, folder, target_path(channel, TIERS[0], release, name), payload, custom=target.custom or {})
        if name == MANIFEST_FILE:
            plan = Plan(f"release-{release}", release, share=1.0, otherwise=release)
            _set_plan(signed_set, plan, folder, channel=channel)
            _set_policy(signed_set, Policy(version=1), folder, channel=channel, newest=release)
    return {"targets", ROLLOUT}


def _permitted(signed_set: SignedSet, channel: str, tier: str) -> dict[int, str]:
    """Release number => digest, of a tier."""
    found = {}
    for release in permitted_releases(signed_set, channel):
        target = signed_set.targets.signed.targets.get(target_path(channel, tier, release, MANIFEST_FILE))
        if target is not None and target.custom:
            found[release] = str(target.custom["digest"])
    return found


def _of_old_agents(signed_set: SignedSet, channel: str) -> int:
    """The release that agents without plans are told is current; 0 where there is none."""
    manifest = signed_set.targets.signed.targets.get(f"{channel}/{MANIFEST_FILE}")
    return int(manifest.custom["release"]) if manifest and manifest.custom else 0


def _newest(permitted: Mapping[int, str]) -> tuple[int, str]:
    newest = max(permitted, default=0)
    return newest, permitted.get(newest, "")


def _number_of_equal(signed_set: SignedSet, bundles: Mapping[str, Bundle], channel: str) -> int | None:
    """The release that is newest in each of the tiers and equal to all bundles; None where there is none."""
    known = {tier: _newest(_permitted(signed_set, channel, tier)) for tier in bundles}
    equal = all(known[tier][1] == bundle.manifest.digest for tier, bundle in bundles.items())
    numbers = {number for number, _ in known.values()}
    return numbers.pop() if equal and len(numbers) == 1 else None


def _loaded(bundle_dirs: Mapping[str, Path], channel: str) -> dict[str, Bundle]:
    """Tier => its bundle, whole, the best tier first."""
    _refuse_reserved(channel)
    if not bundle_dirs or not set(bundle_dirs) <= set(TIERS):
        raise InputError("not tiers", expected=", ".join(TIERS), got=", ".join(bundle_dirs) or "none")
    bundles = {tier: Bundle.load_whole(bundle_dirs[tier]) for tier in TIERS if tier in bundle_dirs}
    for bundle in bundles.values():
        if bundle.manifest.channel != channel:
            raise InputError("a bundle for another channel", expected=channel, got=bundle.manifest.channel)
    if len(numbers := {bundle.manifest.release for bundle in bundles.values()}) > 1:
        raise InputError("bundles of one release with different numbers", got=", ".join(map(str, sorted(numbers))))
    return bundles


def _number(bundles: Mapping[str, Bundle], release: int) -> None:
    for bundle in bundles.values():
        write_atomically(bundle.root / MANIFEST_FILE, bundle.manifest.numbered(release).to_bytes(), mode=READABLE)


def _is_everywhere(signed_set: SignedSet, repository: Path, channel: str, release: int) -> bool:
    plan = plan_of(signed_set, repository, channel)
    return plan is not None and {plan.release, plan.otherwise} == {release}


def _permit(signed_set: SignedSet, bundles: Mapping[str, Bundle], folder: Path, *, channel: str) -> int:
    """The number, which is new, or the newest one where it is permitted and has none of these tiers yet."""
    (release,) = {bundle.manifest.release for bundle in bundles.values()}
    above = next_number(signed_set, channel) - 1
    has = tiers_of(signed_set, channel).get(release, ())
    if release <= above and not (release == above and has and not {*has} & {*bundles}):
        raise InputError("a release number that is not new", expected=f"> {above}", got=release)
    if TIERS[0] in bundles:
        signed_set.drop_of_old_agents(channel)
    for tier, bundle in bundles.items():
        _put_bundle(signed_set, bundle, folder, tier=tier)
    known = policy_of(signed_set, channel)
    policy = known if known.version else replace(known, version=1)
    _set_policy(signed_set, policy, folder, channel=channel, newest=release)
    return release


def _put_bundle(signed_set: SignedSet, bundle: Bundle, folder: Path, *, tier: str) -> None:
    manifest = bundle.manifest
    put = partial(_put, signed_set, folder, custom={"release": manifest.release, "digest": manifest.digest})
    for name in sorted([MANIFEST_FILE, *manifest.files]):
        payload = (bundle.root / name).read_bytes()
        put(target_path(manifest.channel, tier, manifest.release, name), payload)
        if tier == TIERS[0]:
            put(f"{manifest.channel}/{name}", payload)


def _set_policy(
    signed_set: SignedSet, policy: Policy, folder: Path, *, channel: str, newest: int | None = None
) -> None:
    known = signed_set.targets.signed.targets.get(f"{channel}/{POLICY_FILE}")
    ever = newest if newest is not None else int((known.custom or {}).get("newest", 0)) if known else 0
    custom = {**policy.to_json(), "newest": ever}
    _put(signed_set, folder, f"{channel}/{POLICY_FILE}", json.dumps(custom, sort_keys=True).encode(), custom=custom)


def _set_plan(signed_set: SignedSet, plan: Plan, folder: Path, *, channel: str) -> None:
    assert signed_set.rollout is not None
    target = _written(folder, plan_path(channel), plan.to_bytes())
    signed_set.rollout.signed.targets[target.path] = target


def _put(signed_set: SignedSet, folder: Path, path: str, payload: bytes, *, custom: Mapping[str, Any]) -> None:
    target = _written(folder, path, payload)
    target.unrecognized_fields["custom"] = dict(custom)
    signed_set.targets.signed.targets[path] = target


def _written(folder: Path, path: str, payload: bytes) -> TargetFile:
    target = TargetFile.from_data(path, payload, ["sha256"])
    write_atomically(folder / target.get_prefixed_paths()[0], payload, mode=READABLE)
    return target


@contextmanager
def writing(repository: Path) -> Iterator[None]:
    """One writer at a time; the lock dies with its process."""
    try:
        (repository / METADATA).mkdir(parents=True, exist_ok=True)
        with locked(repository):
            yield
    except OSError as error:
        raise StoreUnavailable("cannot write the release repository", got=error, where=repository) from error
