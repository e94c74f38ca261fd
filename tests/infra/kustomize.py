"""What `kubectl kustomize FOLDER` makes of a kustomization, for the few features that infra/kubernetes uses.

Decides nothing that kustomize does not: `test_manifests.py` holds it against kubectl where there is one. Refuses a
feature it does not know, a file that is not there, and a patch that changes nothing, which kustomize passes over.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
KNOWN = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "configMapGenerator",
    "generatorOptions",
    "images",
    "patches",
}
_WITHOUT_NAMESPACE = {"Namespace"}


def render(folder: Path) -> list[Manifest]:
    """Every object of a kustomization, in the order in which it names them."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(said) <= KNOWN, f"{folder}: {set(said) - KNOWN} is not rendered here"
    made = [found for name in said.get("resources", []) for found in _resources(folder / name)]
    made += [_config_map(folder, generator) for generator in said.get("configMapGenerator", [])]
    for patch in said.get("patches", []):
        _patch(made, patch)
    for image in said.get("images", []):
        _rename(made, image)
    for manifest in made:
        if "namespace" in said and manifest["kind"] not in _WITHOUT_NAMESPACE:
            _move(manifest, said["namespace"])
    return made


def _resources(path: Path) -> list[Manifest]:
    if path.is_dir():
        return render(path)
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def _config_map(folder: Path, generator: dict[str, Any]) -> Manifest:
    data = {name: (folder / name).read_text() for name in generator["files"]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def _patch(manifests: list[Manifest], patch: dict[str, Any]) -> None:
    target = patch["target"]
    hit = [
        manifest
        for manifest in manifests
        if manifest["kind"] == target["kind"] and re.fullmatch(target["name"], manifest["metadata"]["name"])
    ]
    assert hit, f"a patch has no target: {target}"
    for manifest in hit:
        for operation in yaml.safe_load(patch["patch"]):
            apply(manifest, copy.deepcopy(operation))


def apply(document: Any, operation: dict[str, Any]) -> None:
    """RFC 6902: add, replace and remove, at a JSON pointer (RFC 6901)."""
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    for part in way:
        document = document[int(part)] if isinstance(document, list) else document[part]
    place = last if isinstance(document, dict) else len(document) if last == "-" else int(last)
    kind = operation["op"]
    if kind == "add" and isinstance(document, list):
        document.insert(place, operation["value"])
        return
    if kind != "add":
        document[place]  # section 4.3: it must be there
    if kind == "remove":
        del document[place]
    else:
        document[place] = operation["value"]


def _rename(manifests: list[Manifest], image: dict[str, str]) -> None:
    for container in (container for manifest in manifests for container in containers(manifest)):
        name, _, tag = container["image"].partition(":")
        if name == image["name"]:
            container["image"] = f"{image['newName']}:{tag}"


def _move(manifest: Manifest, namespace: str) -> None:
    manifest["metadata"]["namespace"] = namespace
    for subject in manifest.get("subjects", []):
        subject["namespace"] = namespace


def pod(manifest: Manifest) -> dict[str, Any]:
    """The pod's specification, of what has one; else nothing."""
    found = manifest.get("spec", {}).get("template", {}).get("spec")
    return found if isinstance(found, dict) else {}


def containers(manifest: Manifest) -> list[dict[str, Any]]:
    return [*pod(manifest).get("containers", []), *pod(manifest).get("initContainers", [])]
