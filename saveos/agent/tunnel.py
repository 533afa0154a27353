"""BORG_RSH: joins Borg's standard input and output to the appliance over mutual TLS.

The parent sets `SAVEOS_TUNNEL` to the path of a file (0600) with `TunnelSettings` as JSON; Borg's words in argv are
ignored. Why it failed goes to standard error as a log line of Borg's and, as `TunnelRefusal`, to `<that path>.error`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.pump import Pump, TunnelFailed
from saveos.protocol import (
    PING_SECONDS,
    SILENCE_SECONDS,
    TUNNEL_SERVER_NAME,
    ExitCode,
    JobId,
    TunnelHello,
    TunnelMode,
    TunnelRefusal,
    Wire,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE = "SAVEOS_TUNNEL"
ERROR_SUFFIX = ".error"
CONNECT_SECONDS = 15.0
LINGER_SECONDS = 0.3  # Borg looks at our output before our errors: give it time to see the latter alone


class TunnelSettings(Wire, frozen=True, kw_only=True):
    """How to reach the appliance and as whom; holds paths, no secret."""

    addresses: tuple[str, ...]  # "host:port", tried in this order
    root_certificate_path: str
    certificate_path: str  # leaf first, then the intermediate
    key_path: str
    token_path: str
    mode: TunnelMode = TunnelMode.READ
    job_id: JobId | None = None
    ping_seconds: float = PING_SECONDS
    silence_seconds: float = SILENCE_SECONDS


def main(argv: Sequence[str]) -> int:
    """Run the tunnel until both sides are done; return the exit code of Borg's server."""
    del argv  # Borg says host, remote path and log level; the appliance decides all of it
    name = os.environ.get(VARIABLE, "")
    try:
        settings = _load(Path(name))
        tls = connect(settings)
        with tls:
            hello = TunnelHello(
                agent_token=Path(settings.token_path).read_text(encoding="ascii").strip(),
                mode=settings.mode,
                job_id=settings.job_id,
            )
            return Pump(tls, settings.ping_seconds, settings.silence_seconds).run(msgspec.json.encode(hello))
    except TunnelFailed as error:
        _report(error.refusal, name)
    except (OSError, ValueError) as error:
        _report(TunnelRefusal(code="not-configured", message=f"The tunnel cannot start: {error}."), name)
    return ExitCode.UNREACHABLE


def connect(settings: TunnelSettings) -> ssl.SSLSocket:
    """Return a connection to the first address that answers as our appliance. Raises TunnelFailed, OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cafile=settings.root_certificate_path)
    context.load_cert_chain(settings.certificate_path, settings.key_path)
    failure = TunnelFailed("unreachable", "No address of the appliance is known.")
    for address in settings.addresses:
        host, _colon, port = address.rpartition(":")
        try:
            raw = socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS)
        except OSError as error:
            failure = TunnelFailed("unreachable", f"{address} does not answer: {error}.", PING_SECONDS)
            continue
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return context.wrap_socket(raw, server_hostname=TUNNEL_SERVER_NAME)
        except ssl.SSLCertVerificationError as error:
            failure = TunnelFailed("wrong-appliance", f"{address} is not our appliance: {error.verify_message}.")
        except (OSError, ssl.SSLError) as error:
            failure = TunnelFailed("unreachable", f"{address} does not speak as expected: {error}.", PING_SECONDS)
        raw.close()
    raise failure


def _load(path: Path) -> TunnelSettings:
    try:
        return msgspec.json.decode(path.read_bytes(), type=TunnelSettings)
    except (OSError, msgspec.DecodeError) as error:
        raise TunnelFailed("not-configured", f"{VARIABLE} does not lead to the tunnel's settings: {error}.") from error


def _report(refusal: TunnelRefusal, name: str) -> None:
    """Say why, to Borg and to whoever started Borg: Borg may be too busy to listen."""
    if name:
        with contextlib.suppress(OSError):
            descriptor = os.open(name + ERROR_SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(refusal))
    line = {
        "type": "log_message",
        "time": time.time(),
        "levelname": "ERROR",
        "name": "saveos.tunnel",
        "msgid": f"SaveOS.{refusal.code}",
        "message": refusal.message,
    }
    with contextlib.suppress(OSError):
        os.write(2, json.dumps(line).encode() + b"\n")
        time.sleep(LINGER_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
