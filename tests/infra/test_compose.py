"""The compose file: valid by the Compose Specification, closed to other machines, and made of what is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema

import edgewright
from edgewright.settings import NAMES, read_settings
from tasks.engine.stage import POOLS
from tests.infra.places import COMPOSE, INFRA, PINNED, ROOT, SERVICES, TARGETS, inherited, last_of

SCHEMA = get_builtin_schema("vendor.compose-spec")
OURS = {f"edgewright-{target}:{edgewright.__version__}" for target in TARGETS}
WORKERS = [name for name in SERVICES if name in POOLS]


def errors(document: dict[str, Any]) -> list[str]:
    validator = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
    return [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(document)]


def command(name: str) -> list[str]:
    """Of a service: its own, or its image's."""
    service = SERVICES[name]
    target = service["image"].partition(":")[0].removeprefix("edgewright-")
    return service.get("command") or json.loads(last_of(target, "CMD"))


def health(name: str) -> list[str]:
    """What is asked of a service, by the file or by its image; [] where nothing is."""
    service = SERVICES[name]
    said = service.get("healthcheck", {})
    if said.get("disable"):
        return []
    if "test" in said:
        return list(said["test"][1:])
    target = service["image"].partition(":")[0].removeprefix("edgewright-")
    return json.loads(last_of(target, "HEALTHCHECK").partition(" CMD ")[2]) if target in TARGETS else []


def test_the_specification_knows_it() -> None:
    assert errors(COMPOSE) == []


def test_a_mistake_is_found() -> None:
    wrong = json.loads(json.dumps(COMPOSE))
    wrong["services"]["cpu"]["restarts"] = "always"
    wrong["services"]["cpu"]["stop_grace_period"] = 30
    assert len(errors(wrong)) == 2


def test_there_is_a_worker_for_each_pool() -> None:
    assert set(WORKERS) == set(POOLS)
    for pool in POOLS:
        words = command(pool)
        assert words[:5] == ["prefect", "worker", "start", "--pool", pool]
        assert "--with-healthcheck" in words and health(pool)


def test_devices_are_asked_for_only_where_they_are() -> None:
    assert {name: SERVICES[name].get("profiles") for name in WORKERS} == {
        "control": None,
        "cpu": None,
        "gpu": ["gpu"],
        "fpga": ["fpga"],
        "edge": None,
    }
    reserved = SERVICES["gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert reserved == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert [name for name in SERVICES if "deploy" in SERVICES[name]] == ["gpu"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_of_this_machine_alone(name: str) -> None:
    service = SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged") and service.get("pid") is None
    assert service["restart"] in ("unless-stopped", "on-failure:5")
    if name != "postgres":  # its image begins as root and gives that up itself
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["init"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_be_known(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_healthy":
            assert health(needed), f"{name} waits for the health of {needed}, which says nothing of it"
        elif how["condition"] == "service_completed_successfully":
            assert SERVICES[needed]["restart"].startswith("on-failure"), f"{needed} never completes"
        else:
            assert needed == "door"  # which is there as soon as it is


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_ours_or_pinned(name: str) -> None:
    image = SERVICES[name]["image"]
    assert image in OURS | PINNED
    if build := SERVICES[name].get("build"):
        assert (INFRA / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        assert image == f"edgewright-{build['target']}:{edgewright.__version__}"


def test_every_image_of_ours_is_built_once() -> None:
    built = [service["image"] for service in SERVICES.values() if "build" in service]
    assert sorted(built) == sorted({service["image"] for service in SERVICES.values()} - PINNED)


def sources(kind: str) -> set[str]:
    """Secrets, configs, volumes or networks that services name."""
    found: set[str] = set()
    for service in SERVICES.values():
        for entry in service.get(kind, []):
            found.add(entry["source"] if isinstance(entry, dict) else entry.partition(":")[0])
    return {name for name in found if not name.startswith((".", "$"))}


@pytest.mark.parametrize("kind", ["secrets", "configs", "volumes", "networks"])
def test_what_is_declared_is_used_and_the_other_way_round(kind: str) -> None:
    assert sources(kind) == set(COMPOSE[kind])


def test_files_that_are_mounted_are_there() -> None:
    for config in COMPOSE["configs"].values():
        assert (INFRA / config["file"]).is_file()


def test_a_secret_comes_from_a_file_that_git_ignores() -> None:
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    assert files == {name: f"./secrets/{name}" for name in files}
    assert {path.stem for path in (INFRA / "secrets").glob("*.example")} == set(files)
    page = (INFRA / "secrets/README.md").read_text()
    for name in files:
        assert f"`{name}`" in page
        ignored = subprocess.run(["git", "check-ignore", "-q", f"infra/secrets/{name}"], cwd=ROOT, check=False)
        if ignored.returncode == 128:
            pytest.skip("not a git checkout")
        assert ignored.returncode == 0, f"git would take {name}"


def test_secrets_reach_programs_as_variables() -> None:
    """`with-secrets` takes files whose names are variables; PostgreSQL reads its own file."""
    for name, service in SERVICES.items():
        for secret in service.get("secrets", []):
            if isinstance(secret, dict):
                assert re.fullmatch(r"[A-Z][A-Z0-9_]*", secret["target"])
            else:
                assert service["environment"]["POSTGRES_PASSWORD_FILE"] == f"/run/secrets/{secret}", name
    for service in SERVICES.values():
        assert not any(re.search(r"PASSWORD$|SECRET|AUTH|ACCESS_KEY", key) for key in service.get("environment", {}))


@pytest.mark.parametrize("name", WORKERS)
def test_a_workers_settings_can_be_read(name: str) -> None:
    environment = SERVICES[name]["environment"]
    settings = read_settings({key: value for key, value in environment.items() if key != "EDGEWRIGHT_ROUTER"})
    assert settings.store == "s3://edgewright/store"
    assert {key for key in environment if key.startswith("EDGEWRIGHT_")} <= set(NAMES)
    assert environment.get("EDGEWRIGHT_ROUTER", "inline") == ("pools" if name == "control" else "inline")


def test_extras_reach_the_images_that_take_them() -> None:
    asked = {name: service["build"].get("args") for name, service in SERVICES.items() if "build" in service}
    servers = {"EXTRAS": "${EXTRAS:-}"}
    assert {name: args for name, args in asked.items() if args} == {
        "prefect": servers,
        "edge": servers,
        "device": {"EXTRAS": "${DEVICE_EXTRAS:-}"},
    }


@pytest.mark.parametrize("name", ["collector", "model"])
def test_a_server_of_devices_knows_its_words_and_listens_where_it_is_let_in(name: str) -> None:
    _, verb, *words = command(name)
    help_command = [sys.executable, "-m", "edgewright.cli", verb, "--help"]
    said = subprocess.run(help_command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z-]+", said))
    (published,) = SERVICES[name]["ports"]
    _, outside, port = published.split(":")
    assert outside == port and f"--port {port}" in " ".join(words).replace("=", " ")
    assert f"('127.0.0.1', {port})" in health(name)[-1]


def test_addresses_are_services_at_ports_that_they_listen_on() -> None:
    text = (INFRA / "compose.yaml").read_text()
    named = set(re.findall(r"(?:https?://|@)([a-z0-9]+):(\d+)", text)) - {("127", "0")}
    listening = {("prefect", "4200"), ("mlflow", "5000"), ("postgres", "5432"), ("s3", "7070"), ("releases", "8471")}
    assert named == listening
    assert "4200" in command("prefect") and "--port=5000" in command("mlflow") and ":7070" in command("s3")
    assert "listen 8471;" in (INFRA / "door.conf").read_text()
    door, releases = (INFRA / "door.conf").read_text(), command("releases")
    assert f"http://{releases[releases.index('--host') + 1]}:{releases[-1]};" in door


def test_mlflow_passes_artifacts_through_and_knows_its_names() -> None:
    words = dict(word.removeprefix("--").split("=", 1) for word in command("mlflow") if word.startswith("--"))
    assert words["artifacts-destination"].startswith("s3://mlflow/")
    assert {"mlflow:5000", "127.0.0.1:5000"} <= set(words["allowed-hosts"].split(","))
    assert "mlflow" in command("buckets")
    assert "://edgewright@" in words["backend-store-uri"]  # no password: that is PGPASSWORD's


def test_what_flashes_is_where_releases_are_served() -> None:
    """The release server listens on loopback; who shares its network namespace reaches it."""
    for name in ("edge", "door"):
        assert SERVICES[name]["network_mode"] == "service:releases"
        assert "networks" not in SERVICES[name] and "ports" not in SERVICES[name]
    homes = {name for name, service in SERVICES.items() if "home:/var/lib/edgewright" in service.get("volumes", [])}
    assert homes == {"control", "edge", "releases", "collector", "model"}


@pytest.mark.parametrize("name", [name for name in SERVICES if SERVICES[name]["image"].startswith("edgewright-")])
def test_a_volume_lies_where_its_image_has_a_folder_of_its_users(name: str) -> None:
    """Else the runtime makes one, which is root's, and nobody in the container may write there."""
    image = inherited(SERVICES[name]["image"].removeprefix("edgewright-").partition(":")[0])
    for volume in SERVICES[name].get("volumes", []):
        source, target, *_ = volume.split(":")
        if source in COMPOSE["volumes"]:
            made = ("--home-dir {} --create-home", "install -d -o 10001 -g 10001 {}")
            assert any(how.format(target) in image for how in made), f"{name}: nobody's folder is {target}"
