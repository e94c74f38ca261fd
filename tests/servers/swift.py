"""A real S3 server for tests: OpenStack Swift with its s3api, four processes on 127.0.0.1 over one folder.

    python tests/servers/swift.py FOLDER PORT     # needs `pip install swift`; ready when it prints "ready"

It stores on disk, checks signatures and refuses a wrong secret, which mock servers do not. Access key `test:tester`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "test:tester", "testing"

_COMMON = """[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
mount_check = false
devices = {root}/devices
swift_dir = {root}
user = {user}
log_level = ERROR
log_address = {root}/no-syslog
"""
_PROXY = """
[pipeline:main]
pipeline = {pipeline}
[app:proxy-server]
use = egg:swift#proxy
conn_timeout = 20
node_timeout = 60
recoverable_node_timeout = 60
account_autocreate = true
allow_account_management = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
min_segment_size = 1048576
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
"""
_PIPELINE = (
    "catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk tempurl s3api tempauth copy slo dlo"
    " versioned_writes symlink proxy-logging proxy-server"
)
_CONFIGURED = ("proxy-logging", "cache", "s3api", "tempauth", "proxy-server")


def write_configuration(root: Path, port: int) -> dict[str, Path]:
    """Rings and server files; server name → its configuration file."""
    (root / "devices" / "sdb1").mkdir(parents=True, exist_ok=True)
    (root / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = s\nswift_hash_path_prefix = p\n"
        "[storage-policy:0]\nname = Policy-0\ndefault = yes\n"
    )
    user = os.environ.get("USER") or "root"
    ports = {"object": _free_port(), "container": _free_port(), "account": _free_port()}
    files: dict[str, Path] = {}
    for name, server_port in ports.items():
        _build_ring(root, name, server_port)
        text = _COMMON.format(port=server_port, root=root, user=user)
        text += f"[pipeline:main]\npipeline = {name}-server\n[app:{name}-server]\nuse = egg:swift#{name}\n"
        text += "conn_timeout = 20\nnode_timeout = 60\n"  # of 0.5 s and less, on a busy machine a bucket is refused
        files[name] = root / f"{name}-server.conf"
        files[name].write_text(text)
    plain = dict.fromkeys(name for name in _PIPELINE.split() if name not in _CONFIGURED)
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in plain)
    filters += "[filter:proxy-logging]\nuse = egg:swift#proxy_logging\n"
    files["proxy"] = root / "proxy-server.conf"
    files["proxy"].write_text(
        _COMMON.format(port=port, root=root, user=user) + _PROXY.format(pipeline=_PIPELINE) + filters
    )
    return files


def _build_ring(root: Path, name: str, port: int) -> None:
    builder = str(root / f"{name}.builder")
    tool = str(Path(sys.executable).parent / "swift-ring-builder")
    for words in (["create", "6", "1", "1"], ["add", f"r1z1-127.0.0.1:{port}/sdb1", "1"], ["rebalance"]):
        # rebalance exits 1 for a warning (one device, one replica)
        code = subprocess.run([sys.executable, tool, builder, *words], capture_output=True).returncode
        if code > 1:
            raise SystemExit(f"swift-ring-builder {words[0]} failed with {code}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"no server on port {port}")


def main(folder: str, port: str) -> None:
    root = Path(folder).resolve()
    root.mkdir(parents=True, exist_ok=True)
    files = write_configuration(root, int(port))
    tools = Path(sys.executable).parent
    environment = {**os.environ, "SWIFT_TEST_CONFIG_FILE": "", "HOME": str(root)}
    servers = [
        subprocess.Popen([sys.executable, str(tools / f"swift-{name}-server"), str(path)], env=environment)
        for name, path in files.items()
    ]
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        _wait_for(int(port), time.monotonic() + 60)
        print("ready", flush=True)
        signal.pause()
    finally:
        for server in servers:
            server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
