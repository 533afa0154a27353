"""OpenStack Swift on this machine, through its S3 dialect: a real store with versions at most, without any lock."""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from saveos.database.secrets import Secret
from saveos.offsite.model import Place
from tests.support.s3 import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, SECRET = "test:tester", Secret("testing")
START_SECONDS = 120
PARTS = ("account", "container", "object")
SHARED = """\
[swift-hash]
swift_hash_path_prefix = saveos
swift_hash_path_suffix = saveos
[storage-policy:0]
name = one
default = yes
"""
SERVER = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
fallocate_reserve = 0
[pipeline:main]
pipeline = {part}-server
[app:{part}-server]
use = egg:swift#{part}
"""
PROXY = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
check_bucket_owner = false
min_segment_size = 5242880
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:slo]
use = egg:swift#slo
[filter:symlink]
use = egg:swift#symlink
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""
RINGS = """\
import sys
from swift.common.ring import RingBuilder
for name, port in zip(sys.argv[2::2], sys.argv[3::2]):
    builder = RingBuilder(2, 1, 1)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "one",
                     "weight": 1, "replication_ip": "127.0.0.1", "replication_port": int(port), "meta": ""})
    builder.rebalance()
    builder.get_ring().save(f"{sys.argv[1]}/{name}.ring.gz")
"""


@dataclass
class Swift:
    """The running store."""

    port: int
    count: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Any:
        """Return a client that is not ours."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET.value,
            region_name="us-east-1",
            verify=True,
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def place(self, **more: Any) -> Place:
        """Return a place in the one bucket, under a prefix of its own."""
        self.count += 1
        usual = {"endpoint": self.endpoint, "bucket": "copies", "access_key_id": KEY, "prefix": f"of/{self.count}"}
        return Place(**{**usual, **more})


@contextlib.contextmanager
def swift(folder: Path) -> Iterator[Swift]:
    """Start a store that keeps all in a folder; stop it at the end, by its processes."""
    ports = dict(zip((*PARTS, "proxy"), free_ports(4), strict=True))
    (folder / "devices" / "one").mkdir(parents=True)
    (folder / "swift.conf").write_text(SHARED)
    rings = [word for part in PARTS for word in (part, str(ports[part]))]
    subprocess.run([sys.executable, "-c", RINGS, str(folder), *rings], check=True)
    processes: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        for part, port in ports.items():
            text = PROXY if part == "proxy" else SERVER
            conf = folder / f"{part}.conf"
            conf.write_text(text.format(part=part, port=port, folder=folder, user=getpass.getuser()))
            processes.append(stack.enter_context(_running(part, conf)))
        store = Swift(ports["proxy"])
        _wait(store, processes, folder)
        yield store


@contextlib.contextmanager
def _running(part: str, conf: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = Path(sys.executable).with_name(f"swift-{part}-server")
    assert program.exists(), "swift is not installed: packaging/run test does that"
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with conf.with_suffix(".log").open("wb") as log:
        words = [sys.executable, str(program), str(conf), "-v"]
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=conf.parent, env=kept)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _wait(store: Swift, processes: list[subprocess.Popen[bytes]], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            store.client().create_bucket(Bucket="copies")
        except Exception:  # noqa: BLE001 - whatever a store says that is not ready
            time.sleep(0.3)
        else:
            return
    raise AssertionError("\n".join(path.read_text()[-1500:] for path in folder.glob("*.log")))
