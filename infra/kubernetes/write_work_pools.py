"""Write work_pools/<pool>.json, the base job templates of Prefect's Kubernetes work pools: one a pool.

Decides what a person may set for each run, in the form of the work pool or in a deployment's `job_variables`, and what
stands: no root, no token, nothing but /tmp and the home to write to, secrets by reference. Refuses to let a variable
stand that the Job does not use: Prefect drops it in silence.

    python infra/kubernetes/write_work_pools.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgewright

FOLDER = Path(__file__).parent / "work_pools"
JSON = dict[str, Any]
_TOLD = ("command", "env", "labels", "annotations", "name", "namespace", "stream_output", "pod_watch_timeout_seconds")
_SECRETS = {
    "PREFECT_API_AUTH_STRING": "prefect-auth",
    "AWS_ACCESS_KEY_ID": "s3-access-key",
    "AWS_SECRET_ACCESS_KEY": "s3-secret-key",
}
_LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
_USER = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_NEAR_THE_HOME = {
    "podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"edgewright/home": "true"}}, "topologyKey": "kubernetes.io/hostname"}
        ]
    }
}


@dataclass(frozen=True)
class Pool:
    """What the runs of one pool are given.

    Attributes:
        image: target of infra/containers/Containerfile.
        home: they share the home, with runs, keys and releases; else a scratch folder of their own.
        node: the label of the nodes that have the device, and the taint that keeps others off them.
        gpu: they are given NVIDIA's devices.
    """

    name: str
    image: str
    cpu: str
    memory: str
    memory_limit: str
    home: bool = False
    node: tuple[str, str] | None = None
    gpu: bool = False


KUBERNETES_POOLS = (
    Pool("control", "control", "500m", "1Gi", "4Gi", home=True),
    Pool("cpu", "cpu", "2", "4Gi", "16Gi"),
    Pool("gpu", "gpu", "4", "16Gi", "48Gi", node=("nvidia.com/gpu.present", "nvidia.com/gpu"), gpu=True),
    Pool("fpga", "cpu", "2", "4Gi", "16Gi", node=("edgewright/fpga", "edgewright/fpga")),
    Pool("edge", "edge", "500m", "1Gi", "4Gi", home=True),
)


def template(pool: Pool) -> JSON:
    """`variables`, a JSON schema, and `job_configuration`, which uses each of them as `{{ name }}`."""
    return {
        "variables": {"type": "object", "properties": _variables(pool)},
        "job_configuration": {**{name: f"{{{{ {name} }}}}" for name in _TOLD}, "job_manifest": _job(pool)},
    }


def _variables(pool: Pool) -> JSON:
    return {
        "name": _variable("Name of the Job; empty: that of the flow run.", None),
        "image": _variable("Of a worker of this pool.", f"edgewright-{pool.image}:{edgewright.__version__}"),
        "image_pull_policy": {
            **_variable("When nodes ask the registry.", "IfNotPresent"),
            "enum": ["IfNotPresent", "Always", "Never"],
        },
        "namespace": _variable("Where the Job runs.", "edgewright"),
        "service_account_name": _variable("Whose the pod is; it is given no token.", "edgewright"),
        "command": _variable("Empty: Prefect knows how to start a flow run.", None),
        "env": _strings("Beside what the ConfigMap and the Secret edgewright say."),
        "labels": _strings("Of the Job, beside Prefect's."),
        "annotations": _strings("Of the Job, beside Prefect's."),
        "cpu_request": _variable("Cores that the scheduler keeps free, as Kubernetes writes them.", pool.cpu),
        "memory_request": _variable("What the scheduler keeps free.", pool.memory),
        "memory_limit": _variable("What ends the run if it takes more.", pool.memory_limit),
        "shm_size": _variable("Shared memory, where PyTorch's loaders hand pictures over.", "2Gi"),
        **({} if pool.home else {"scratch_size": _variable("Of the node's disk, for work in progress.", "50Gi")}),
        **({"gpus": _number("Devices of the run.", 1, least=1)} if pool.gpu else {}),
        "backoff_limit": _number("How often Kubernetes starts the pod again; 0 leaves that to Prefect.", 0, least=0),
        "finished_job_ttl": _number("Seconds that a finished Job can be looked at.", 3600, least=0),
        "pod_watch_timeout_seconds": _number("Until the pod has begun; an image of 6 GB takes a while.", 1800, least=1),
        "stream_output": {
            "description": "Whether the worker's log carries the run's.",
            "type": "boolean",
            "default": True,
        },
    }


def _variable(description: str, default: str | None) -> JSON:
    kind: JSON = {"anyOf": [{"type": "string"}, {"type": "null"}]} if default is None else {"type": "string"}
    return {"description": description, **kind, "default": default}


def _number(description: str, default: int, *, least: int) -> JSON:
    return {"description": description, "type": "integer", "minimum": least, "default": default}


def _strings(description: str) -> JSON:
    texts = {"type": "object", "additionalProperties": {"type": "string"}}
    return {"description": description, **texts, "default": {}}


def _job(pool: Pool) -> JSON:
    metadata = {name: f"{{{{ {name} }}}}" for name in ("namespace", "labels", "annotations")}
    labels = {"app.kubernetes.io/name": "edgewright-run", "app.kubernetes.io/part-of": "edgewright"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"generateName": "{{ name }}-", **metadata},
        "spec": {
            "backoffLimit": "{{ backoff_limit }}",
            "ttlSecondsAfterFinished": "{{ finished_job_ttl }}",
            "completions": 1,
            "parallelism": 1,
            "template": {"metadata": {"labels": {**labels, "edgewright/pool": pool.name}}, "spec": _pod(pool)},
        },
    }


def _pod(pool: Pool) -> JSON:
    label, taint = pool.node or ("", "")
    scratch = {"emptyDir": {"sizeLimit": "{{ scratch_size }}"}}
    return {
        # Prefect's worker demands these two here too, where they mean nothing: the cluster leaves them out.
        "parallelism": 1,
        "completions": 1,
        "restartPolicy": "Never",
        "serviceAccountName": "{{ service_account_name }}",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _USER,
        **({"affinity": _NEAR_THE_HOME} if pool.home else {}),
        **({"nodeSelector": {label: "true"}} if label else {}),
        **({"tolerations": [{"key": taint, "operator": "Exists", "effect": "NoSchedule"}]} if taint else {}),
        "containers": [_container(pool)],
        "volumes": [
            {"name": "home", **({"persistentVolumeClaim": {"claimName": "home"}} if pool.home else scratch)},
            {"name": "tmp", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "{{ shm_size }}"}},
        ],
    }


def _container(pool: Pool) -> JSON:
    """Its own list of variables keeps the secrets' values out of the Job: Prefect puts those of `env` before them."""
    secrets = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "edgewright", "key": key}}}
        for name, key in _SECRETS.items()
    ]
    router = [{"name": "EDGEWRIGHT_ROUTER", "value": "pools"}] if pool.name == "control" else []
    return {
        "name": "prefect-job",
        "image": "{{ image }}",
        "imagePullPolicy": "{{ image_pull_policy }}",
        "args": "{{ command }}",
        "envFrom": [{"configMapRef": {"name": "edgewright"}}],
        "env": [*secrets, *router],
        "resources": {
            "requests": {"cpu": "{{ cpu_request }}", "memory": "{{ memory_request }}"},
            "limits": {"memory": "{{ memory_limit }}", **({"nvidia.com/gpu": "{{ gpus }}"} if pool.gpu else {})},
        },
        "securityContext": _LOCKED,
        "volumeMounts": [
            {"name": "home", "mountPath": "/var/lib/edgewright"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108
        ],
    }


def page(pool: Pool) -> str:
    return json.dumps(template(pool), indent=1) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in KUBERNETES_POOLS:
        (FOLDER / f"{each.name}.json").write_text(page(each))
