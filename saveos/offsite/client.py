"""A client of boto3 that is told everything and looks for nothing itself; imported when there is a store only.

No variable, file, proxy or metadata service of the machine has a say: a key that lies about there could send copies to
a stranger.
"""

from __future__ import annotations

import os
import tempfile
import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider

from saveos import __version__
from saveos.offsite.hands import HANDS, PacedBody

if TYPE_CHECKING:
    from saveos.database.secrets import Secret
    from saveos.offsite.model import Place

CONNECT_SECONDS, READ_SECONDS = 10, 60
_turn = threading.Lock()  # a session makes one client at a time


def of(place: Place, secret: Secret, trusted: str) -> Any:
    """Return a client of boto3. `trusted`: a file with the certificates that alone are, empty for the usual ones."""
    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if place.is_path_style else "virtual"},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": 1, "mode": "standard"},  # `Bucket` asks again itself
        max_pool_connections=2 * HANDS,
        proxies={},
        tcp_keepalive=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent=f"SaveOS/{__version__}",
    )
    with _turn:
        client = _session().client(
            "s3",
            aws_access_key_id=place.access_key_id,
            aws_secret_access_key=secret.value,
            region_name=place.region,
            endpoint_url=place.endpoint,
            config=config,
            verify=trusted or True,
        )
    for operation in ("PutObject", "UploadPart"):
        client.meta.events.register(f"before-send.s3.{operation}", _note_sending)
    return client


@cache
def _session() -> boto3.Session:
    """Return what makes clients, told of no key; kept, since it reads megabytes of what the protocol is."""
    core = botocore.session.Session()
    known = {name: ConstantProvider(said[2]) for name, said in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    nothing = dict.fromkeys(("config_file", "credentials_file"), ConstantProvider(os.devnull))
    core.register_component("config_store", ConfigValueStore(mapping=known | nothing))
    return boto3.Session(botocore_session=core)


def _note_sending(request: Any, **_more: Any) -> None:
    """Tell a body that from here on it is read to be sent, not to be signed."""
    if isinstance(request.body, PacedBody):
        request.body.is_sending = True


def trust_file(ca_pem: str) -> tempfile._TemporaryFileWrapper[str] | None:
    """Keep certificates in a file as long as the bucket is in use: the library reads it at each connection."""
    if not ca_pem:
        return None
    file = tempfile.NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115 - closed with its bucket
    file.write(ca_pem)
    file.flush()
    return file
