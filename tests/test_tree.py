"""The tests mirror the tree: `edgewright/data/rle.py` is tested by `tests/edgewright/data/test_rle.py`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
MIRRORED = ("benchmarks", "deployments", "edgewright", "flows", "infra", "tasks")
OF_SEVERAL_MODULES = {
    "tests/edgewright/data/test_coded_datasets.py": "a data set whose pictures lie in a codec, source to export",
    "tests/edgewright/data/test_cases_pictures.py": "pictures as strangers bring them, from a source to a data set",
    "tests/edgewright/data/test_cases_splits.py": "sources as strangers bring them, from their files to their splits",
    "tests/edgewright/data/formats/test_perturbed.py": "every format in every way that strangers write it",
    "tests/edgewright/data/test_cases.py": "sources as strangers bring them: their label files",
    "tests/edgewright/data/test_mask_labels.py": "a mask's way from a label file to an index and out again",
    "tests/edgewright/device/test_outbox_power.py": "power cuts of one module, beside its other tests",
    "tests/edgewright/gates/test_reference.py": "metrics and blocks against the published packages",
    "tests/edgewright/release/test_tiers.py": "several bundles of one release, and the devices that take them",
    "tests/edgewright/report/test_page_text.py": "what the page says, beside how it is made",
    "tests/edgewright/synth/test_gan.py": "networks, losses and augmentation of one method",
    "tests/edgewright/synth/test_training.py": "what both methods of learning a generator share",
    "tests/flows/test_lifecycle_form.py": "the form of a flow, beside its run",
    "tests/infra/containers/test_containerfile.py": "tests a container file",
    "tests/infra/containers/test_device_loop.py": "tests a shell script, and device_ready.py beside it",
    "tests/infra/containers/test_with_secrets.py": "tests a shell script",
    "tests/infra/kubernetes/test_manifests.py": "tests YAML files",
    "tests/infra/systemd/test_units.py": "tests units of systemd",
    "tests/infra/test_compose.py": "tests a YAML file",
    "tests/infra/test_contracts.py": "what holds for every file of infra",
    "tests/tasks/test_example.py": "the worked example of a page",
}


def test_tests_lie_where_their_module_lies() -> None:
    paths = {path.relative_to(ROOT) for folder in MIRRORED for path in (ROOT / "tests" / folder).rglob("test_*.py")}
    elsewhere = {path.as_posix() for path in paths if not mirrors_a_module(path)}
    assert elsewhere == set(OF_SEVERAL_MODULES)


def mirrors_a_module(path: Path) -> bool:
    module = ROOT.joinpath(*path.parts[1:-1], path.stem.removeprefix("test_"))
    return module.with_suffix(".py").is_file() or (module / "__init__.py").is_file()
