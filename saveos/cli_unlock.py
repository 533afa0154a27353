"""`saveos unlock` and `saveos lock`: hosts' keys for some minutes, in the memory of the serving appliance."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos import cli_prompt, cli_remote
from saveos.errors import NotFound, SaveOSError
from saveos.repositories.keyholding import CODE_SUITE

if TYPE_CHECKING:
    import argparse

    from saveos.cli_remote import Remote
    from saveos.config import Settings

HOSTS_LIMIT = 1000


def add_arguments(unlock: argparse.ArgumentParser, lock: argparse.ArgumentParser) -> None:
    """Say what the two commands take."""
    unlock.add_argument("hosts", nargs="*", metavar="HOST", help="id or hostname; none: every sealed host")
    unlock.add_argument("--minutes", type=float, default=15.0)
    for parser in (unlock, lock):
        cli_remote.add_arguments(parser)


def run(settings: Settings, parsed: argparse.Namespace) -> dict[str, Any]:
    """Unlock hosts. The code is sealed here, to the process that is to hold the keys. Raises SaveOSError."""
    remote = cli_remote.of(settings, parsed)
    agent_ids = _ids(remote, parsed.hosts) if parsed.hosts else []
    code = cli_prompt.recovery_code().strip()
    offer = remote.call("POST", "/api/v1/keys/unlocks")
    public = X25519PublicKey.from_public_bytes(base64.b64decode(offer["public_key"]))
    sealed = CODE_SUITE.encrypt(code.encode(), public, offer["info"].encode())
    asked = {"sealed_code": base64.b64encode(sealed).decode(), "agent_ids": agent_ids, "minutes": parsed.minutes}
    opened = remote.call("POST", f"/api/v1/keys/unlocks/{offer['unlock_id']}/open", asked)
    return {"unlock": opened["unlock_id"], "hosts": len(opened["agent_ids"]), "ends_at": opened["ends_at"]}


def lock(settings: Settings, parsed: argparse.Namespace) -> dict[str, Any]:
    """Lock everything that is unlocked. Raises SaveOSError."""
    remote = cli_remote.of(settings, parsed)
    found = remote.call("GET", "/api/v1/keys/unlocks")["items"]
    for unlock in found:
        try:
            remote.call("DELETE", f"/api/v1/keys/unlocks/{unlock['unlock_id']}")
        except SaveOSError as error:
            if error.code != NotFound.code:  # it ended by itself meanwhile: the others are still to be locked
                raise
    return {"locked": len(found)}


def _ids(remote: Remote, hosts: list[str]) -> list[str]:
    known = remote.call("GET", f"/api/v1/agents/?limit={HOSTS_LIMIT}")["items"]
    found = []
    for host in hosts:
        named = [agent["id"] for agent in known if host in (agent["id"], agent["hostname"])]
        if not named:
            raise NotFound(f"There is no host {host}.")
        found += named
    return found
