"""The manifests: rendered as kustomize does, valid for Kubernetes, and closed where they need not be open."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import edgewright
from tasks.engine.stage import POOLS
from tests.infra.kustomize import Manifest, apply, containers, pod, render

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "infra/kubernetes"
OVERLAYS = ("one-node", "external", "jobs")
VERSIONS = ("1.31", "1.37")
"""The oldest that is still patched by a large cloud, and the newest that the package knows."""
RENDERED = {name: render(FOLDER / "overlays" / name) for name in OVERLAYS}
COMPOSE = yaml.safe_load((ROOT / "infra/compose.yaml").read_text())
EVERYTHING = [
    pytest.param(manifest, id=f"{overlay} {manifest['kind']} {manifest['metadata']['name']}")
    for overlay, manifests in RENDERED.items()
    for manifest in manifests
]
PODS = [parameter for parameter in EVERYTHING if containers(parameter.values[0])]  # type: ignore[arg-type]


def key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def named(overlay: str, kind: str) -> dict[str, Manifest]:
    return {manifest["metadata"]["name"]: manifest for manifest in RENDERED[overlay] if manifest["kind"] == kind}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_they_are_rendered_as_kustomize_does(overlay: str) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl: what the tests render is not held against kustomize")
    command = ["kubectl", "kustomize", str(FOLDER / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    theirs = {key(manifest): manifest for manifest in yaml.safe_load_all(done.stdout)}
    assert {key(manifest): manifest for manifest in RENDERED[overlay]} == theirs


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "replace", "path": "/a/b~1c", "value": 2}, {"a": {"b/c": 2}, "d": [1]}),  # RFC 6901's escape
        ({"op": "add", "path": "/a/e", "value": 2}, {"a": {"b/c": 1, "e": 2}, "d": [1]}),
        ({"op": "add", "path": "/d/-", "value": 2}, {"a": {"b/c": 1}, "d": [1, 2]}),  # at the end
        ({"op": "add", "path": "/d/0", "value": 2}, {"a": {"b/c": 1}, "d": [2, 1]}),  # before
        ({"op": "remove", "path": "/a/b~1c"}, {"a": {}, "d": [1]}),
    ],
)
def test_a_patch(operation: dict[str, Any], expected: dict[str, Any]) -> None:
    document: dict[str, Any] = {"a": {"b/c": 1}, "d": [1]}
    apply(document, operation)
    assert document == expected


@pytest.mark.parametrize("operation", [{"op": "replace", "path": "/x", "value": 1}, {"op": "remove", "path": "/x"}])
def test_a_patch_of_what_is_not_there(operation: dict[str, Any]) -> None:
    with pytest.raises(KeyError):
        apply({}, operation)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", EVERYTHING)
def test_kubernetes_knows_every_field(manifest: Manifest, version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_mistake_is_found() -> None:
    wrong = json.loads(json.dumps(named("one-node", "Deployment")["worker-cpu"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePullpolicy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullpolicy"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pool_has_one_worker(overlay: str) -> None:
    workers = {name: found for name, found in named(overlay, "Deployment").items() if name.startswith("worker-")}
    assert set(workers) == {f"worker-{pool}" for pool in POOLS}
    for pool in POOLS:
        worker = workers[f"worker-{pool}"]
        arguments = containers(worker)[0]["args"]
        assert arguments[arguments.index("--pool") + 1] == pool
        assert worker["spec"]["selector"]["matchLabels"]["edgewright/pool"] == pool
        assert worker["spec"]["template"]["metadata"]["labels"]["edgewright/pool"] == pool


def test_the_gpus_worker_asks_for_one_and_goes_where_they_are() -> None:
    worker = named("external", "Deployment")["worker-gpu"]
    assert worker["spec"]["replicas"] == 2
    assert containers(worker)[0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod(worker)["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod(worker)["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    others = [containers(found)[0]["resources"]["limits"] for name, found in named("external", "Deployment").items()]
    assert sum("nvidia.com/gpu" in limits for limits in others) == 1


def test_a_launcher_takes_no_device() -> None:
    for name, worker in named("jobs", "Deployment").items():
        if name.startswith("worker-"):
            assert "nvidia.com/gpu" not in containers(worker)[0]["resources"]["limits"]
            assert "nodeSelector" not in pod(worker)
            assert containers(worker)[0]["args"][5:7] == ["--type", "kubernetes"]


@pytest.mark.parametrize("manifest", PODS)
def test_no_pod_has_more_rights_than_it_needs(manifest: Manifest) -> None:
    """Pod Security Standards, `restricted`, and what they do not ask for: a root that cannot be written to."""
    specification = pod(manifest)
    assert specification["securityContext"]["runAsNonRoot"] is True
    assert specification["securityContext"]["runAsUser"] > 0
    assert specification["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert specification["automountServiceAccountToken"] is (specification["serviceAccountName"] == "launcher")
    for container in containers(manifest):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == set(container["resources"]["requests"]), container["name"]
        assert "memory" in container["resources"]["limits"], container["name"]


@pytest.mark.parametrize("manifest", PODS)
def test_what_a_pod_mounts_and_refers_to_exists(manifest: Manifest) -> None:
    specification = pod(manifest)
    claims = [claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])]
    volumes = {volume["name"] for volume in specification["volumes"]} | set(claims)
    mounted = {mount["name"] for container in containers(manifest) for mount in container.get("volumeMounts", [])}
    assert mounted == volumes, "a volume that nobody mounts, or one that is not there"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_referred_to_is_made(overlay: str) -> None:
    """But the Secret `edgewright` and the ConfigMap `trust`, which a person brings: docs/infra.md names them."""
    made = {
        kind: set(named(overlay, kind)) for kind in ("ConfigMap", "Secret", "PersistentVolumeClaim", "ServiceAccount")
    }
    text = json.dumps([manifest for manifest in RENDERED[overlay] if containers(manifest)])
    documents = json.loads(text)
    asked: dict[str, set[str]] = {kind: set() for kind in made}
    brought: set[str] = set()
    for place in _walk(documents):
        for name, kind in (("configMapRef", "ConfigMap"), ("configMapKeyRef", "ConfigMap"), ("configMap", "ConfigMap")):
            if isinstance(place.get(name), dict):
                asked[kind].add(place[name]["name"])
        if "secretKeyRef" in place:
            asked["Secret"].add(place["secretKeyRef"]["name"])
        if isinstance(place.get("secret"), dict):
            assert place["secret"]["optional"], "a pod would wait for what only some devices need"
            brought.add(place["secret"]["secretName"])
        if "persistentVolumeClaim" in place:
            asked["PersistentVolumeClaim"].add(place["persistentVolumeClaim"]["claimName"])
        if "serviceAccountName" in place:
            asked["ServiceAccount"].add(place["serviceAccountName"])
    assert asked["Secret"] == {"edgewright"} and made["Secret"] == set()
    assert brought == {"device-tokens"}
    assert asked["ConfigMap"] - made["ConfigMap"] == {"trust"}
    assert asked["PersistentVolumeClaim"] <= made["PersistentVolumeClaim"]
    assert asked["ServiceAccount"] <= made["ServiceAccount"]


def test_the_page_names_every_key_of_the_secret() -> None:
    keys = {
        place["secretKeyRef"]["key"]
        for manifests in RENDERED.values()
        for place in _walk(manifests)
        if "secretKeyRef" in place
    }
    page = (ROOT / "docs/infra.md").read_text()
    assert {name for name in keys if f"--from-file={name}=" not in page} == set()


def _walk(value: Any) -> list[dict[str, Any]]:
    """Every mapping in it."""
    if isinstance(value, dict):
        return [value, *(found for inner in value.values() for found in _walk(inner))]
    return [found for inner in value for found in _walk(inner)] if isinstance(value, list) else []


def test_a_device_keeps_its_slots_and_says_which_model_it_runs() -> None:
    device = named("external", "StatefulSet")["device"]
    specification = device["spec"]
    assert [claim["metadata"]["name"] for claim in specification["volumeClaimTemplates"]] == ["device"]
    assert specification["updateStrategy"] == {"type": "OnDelete"}  # the agent replaces models, not the controller
    assert specification["serviceName"] in named("external", "Service")
    container = containers(device)[0]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    environment = {entry["name"]: entry for entry in container["env"]}
    assert environment["DEVICE_HOME"]["value"] == mounts["device"]
    assert environment["DEVICE_ID"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert "edgewright/model-version" in specification["template"]["metadata"]["labels"]
    wanted = environment["MODEL_VERSION"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert wanted == "metadata.labels['edgewright/model-version']"
    assert container["readinessProbe"]["exec"]["command"] == ["device-ready"]


def test_a_device_joins_by_the_token_of_its_ordinal_or_is_what_it_is_given() -> None:
    device = named("external", "StatefulSet")["device"]
    container, volumes = containers(device)[0], {volume["name"]: volume for volume in pod(device)["volumes"]}
    names = [entry["name"] for entry in container["env"]]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert environment["DEVICE_TOKEN"] == f"{mounts['tokens']}/$(DEVICE_ID)"
    assert names.index("DEVICE_ID") < names.index("DEVICE_TOKEN"), "a variable knows those before it alone"
    assert volumes["tokens"]["secret"]["defaultMode"] == 0o440
    assert volumes["trust"]["configMap"]["optional"]
    assert "device-tokens --from-file=device-0=" in (ROOT / "docs/infra.md").read_text()


def test_devices_find_the_collector_by_the_name_that_it_is_for() -> None:
    collector = named("one-node", "Deployment")["collector"]
    (container,) = containers(collector)
    words = container["args"]
    given = dict(zip(words[2::2], words[3::2], strict=True))
    service = named("one-node", "Service")["collector"]
    assert given["--name"] == service["metadata"]["name"]
    assert int(given["--port"]) == service["spec"]["ports"][0]["port"] == container["ports"][0]["containerPort"]
    assert service["spec"].get("type", "ClusterIP") == "ClusterIP", "open to the world only where somebody says so"
    assert collector["spec"]["strategy"] == {"type": "Recreate"}
    assert {container[probe]["httpGet"]["scheme"] for probe in container if probe.endswith("Probe")} == {"HTTPS"}
    in_compose = COMPOSE["services"]["collector"]["command"]
    said = [word.replace("${COLLECTOR:-collector}", "collector") for word in in_compose]
    assert said == ["edgewright", *words[1:], "--mqtt", "${BROKER:-}"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_device_may_go_where_its_collector_lets_it_in(overlay: str) -> None:
    policies = named(overlay, "NetworkPolicy")
    ways = {
        (rule["to"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"], rule["ports"][0]["port"])
        for rule in policies["devices"]["spec"]["egress"]
    }
    assert ways == {("edgewright-worker", 8471), ("edgewright-collector", 8472)}
    (rule,) = policies["collector"]["spec"]["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "edgewright-device"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8472}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whoever_has_the_home_is_where_it_is_and_leaves_its_keys_private(overlay: str) -> None:
    """A volume on one node, with keys in it that are refused where a group may read them."""
    sharing = [
        manifest
        for manifest in RENDERED[overlay]
        if containers(manifest)
        and any(v.get("persistentVolumeClaim", {}).get("claimName") == "home" for v in pod(manifest)["volumes"])
    ]
    assert {manifest["metadata"]["name"] for manifest in sharing} == {"worker-control", "worker-edge", "collector"}
    for manifest in sharing:
        assert pod(manifest)["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        if "edgewright/home" not in manifest["spec"]["template"]["metadata"]["labels"]:
            (wanted,) = pod(manifest)["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            assert wanted["labelSelector"] == {"matchLabels": {"edgewright/home": "true"}}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_service_reaches_pods_at_a_port_of_theirs(overlay: str) -> None:
    for name, service in named(overlay, "Service").items():
        hit = [
            manifest
            for manifest in RENDERED[overlay]
            if containers(manifest)
            and service["spec"]["selector"].items() <= manifest["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert len(hit) == 1, name
        ports = {port["name"] for container in containers(hit[0]) for port in container.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"].get("ports", [])} <= ports, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_is_open_but_what_is_named(overlay: str) -> None:
    policies = named(overlay, "NetworkPolicy")
    assert policies["nothing"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    labels = {
        manifest["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for manifest in RENDERED[overlay]
        if containers(manifest)
    } | {"edgewright-run"}  # of the Jobs that launchers make
    chosen = {
        value
        for place in _walk(list(policies.values()))
        for value in [*place.get("values", []), place.get("app.kubernetes.io/name")]
        if value
    }
    assert chosen - labels <= {"edgewright-buckets"}, "a policy for pods that nobody makes"
    for name, policy in policies.items():
        for rule in policy["spec"].get("ingress", []):
            assert rule["from"], f"{name} lets everybody in"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_whoever_has_the_word_for_prefect_may_go_there(overlay: str) -> None:
    """A pod that is given the password and no way would wait for ever."""
    let_in = set(_walk_values(named(overlay, "NetworkPolicy")["prefect"]["spec"]["ingress"]))
    told = {
        manifest["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]
        for manifest in RENDERED[overlay]
        for container in containers(manifest)
        if "PREFECT_API_AUTH_STRING" in {entry["name"] for entry in container.get("env", ())}
    }
    assert told
    assert told <= let_in


def _walk_values(rules: Any) -> list[str]:
    return [value for place in _walk(rules) for value in place.get("values", [])]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_images_are_ours_at_this_version_or_pinned(overlay: str) -> None:
    used = {container["image"] for manifest in RENDERED[overlay] for container in containers(manifest)}
    ours = {image.rsplit("/", 1)[-1] for image in used if "edgewright-" in image}
    assert {image.partition(":")[2] for image in ours} == {edgewright.__version__}


def test_the_door_is_the_one_of_the_compose_file() -> None:
    door = named("one-node", "ConfigMap")["door"]["data"]["default.conf"]
    assert door == (ROOT / "infra/door.conf").read_text()
    databases = named("one-node", "ConfigMap")["postgres-databases"]["data"]["databases.sql"]
    lines = (ROOT / "infra/databases.sql").read_text().splitlines()
    assert databases.splitlines() == [line for line in lines if not line.startswith("--")]


def test_every_folder_is_part_of_an_overlay() -> None:
    """And every manifest of a folder is one of its kustomization's resources."""
    folders = {path.parent for path in FOLDER.rglob("kustomization.yaml")}
    reached: set[Path] = set()
    waiting = [FOLDER / "overlays" / name for name in OVERLAYS]
    while waiting:
        folder = waiting.pop().resolve()
        reached.add(folder)
        said = yaml.safe_load((folder / "kustomization.yaml").read_text())
        resources = {folder / name for name in said.get("resources", [])}
        waiting += [path for path in resources if path.is_dir()]
        assert set(folder.glob("*.yaml")) - {folder / "kustomization.yaml"} <= resources, folder
    assert reached == {folder.resolve() for folder in folders}
