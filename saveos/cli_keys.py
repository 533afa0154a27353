"""Edge: the command line's part on keys: a host's key opened, the recovery kit shown, confirmed, replaced."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import cli_prompt
from saveos.agents import enrolment
from saveos.agents.model import KeyMode
from saveos.errors import InvalidRequest
from saveos.repositories import keys, table_keys
from saveos.repositories import table as repositories
from saveos.snapshots import names as file_names
from saveos.snapshots.names import Names
from saveos.tenants import kits, recovery
from saveos.tenants.model import MadeBy

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.identity.principals import Principal
    from saveos.stores import Stores
    from saveos.tenants.model import Kit

TO_CONFIRM = (
    "Keep it safe, then confirm that you have it: saveos recovery confirm. Until then the former code works too."
)


def add(commands: Any, group: Callable[..., Any], verb: Callable[..., Any]) -> None:
    """Add the commands; `group` adds a word before others, `verb` one of them."""
    key = group("key", "keys")
    opened = verb(key, "export", "open a host's key with the recovery code", export)
    opened.add_argument("agent", help="id or hostname")
    opened.add_argument("--output", type=Path, help="write Borg's key export to this new file (0600)")
    decided = verb(key, "mode", "say whether the appliance may open a host's key by itself", mode)
    decided.add_argument("agent", help="id or hostname")
    decided.add_argument("mode", type=KeyMode, choices=list(KeyMode))
    read = verb(commands, "names", "show or say whether the appliance reads names of files", names)
    read.add_argument("names", nargs="?", type=Names, choices=list(Names))
    kit = group("recovery", "the recovery kit")
    verb(kit, "status", "show whether the kit is confirmed, and how many hosts use it", status)
    verb(kit, "confirm", "confirm that the kit is at hand", confirm)
    verb(kit, "rotate", "make a new recovery code; hosts seal their keys to it", rotate)


def export(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> dict[str, Any]:
    """Open a host's key. A managed host needs no code: an empty line will do."""
    agent = enrolment.by_name(stores.database, principal, parsed.agent)
    contents = keys.export(stores.database, stores.settings, principal, agent, cli_prompt.recovery_code())
    shown: dict[str, Any] = {
        "agent": agent.id,
        "hostname": agent.hostname,
        "repository": str(repositories.repository_path(stores.settings, agent.tenant_id, agent.id)),
        "passphrase": contents.passphrase,
    }
    if parsed.output:
        _write_private(parsed.output, contents.key_export)
        shown["key_file"] = str(parsed.output)
    else:
        shown["key_export"] = contents.key_export
    return shown


def mode(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> dict[str, Any]:
    """Decide who holds a host's key."""
    agent = enrolment.by_name(stores.database, principal, parsed.agent)
    keys.set_mode(stores.database, principal, agent.id, parsed.mode)
    held = keys.held(stores.database, principal, agent.id)
    return {"agent": agent.id, "hostname": agent.hostname, "mode": held.mode.value, "is_held": held.is_held}


def names(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> dict[str, Any]:
    """Show, or decide, who reads the names of files."""
    if parsed.names is not None:
        file_names.choose(stores.database, stores.settings, principal, parsed.names)
    return {"names": file_names.get(stores.database, principal).value}


def status(stores: Stores, principal: Principal, _parsed: argparse.Namespace) -> dict[str, Any]:
    """Show how the recovery kit stands."""
    return _shown(stores, principal, kits.state(stores.database, principal))


def confirm(stores: Stores, principal: Principal, _parsed: argparse.Namespace) -> dict[str, Any]:
    """Confirm that the kit is at hand."""
    kit = kits.confirm_by_code(stores.database, principal, cli_prompt.recovery_code(), keys.note_proof)
    return _shown(stores, principal, kit)


def rotate(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> dict[str, Any]:
    """Make a new recovery code in this process, and print it this once: before it counts, lest nobody have it."""
    code, public_key = recovery.create()
    text = base64.b64encode(public_key).decode()
    check = recovery.check_of(code)
    shown = {"recovery_code": code, "public_key": text, "made_by": MadeBy.APPLIANCE.value, "note": TO_CONFIRM}
    print(
        json.dumps(shown) if parsed.json else "\n".join(f"{name}: {value}" for name, value in shown.items()), flush=True
    )
    kits.rotate(stores.database, principal, text, check, MadeBy.APPLIANCE)
    return {}


def _write_private(path: Path, text: str) -> None:
    """Write a new file for its owner alone: one that is there may be others' to read. Raises InvalidRequest."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise InvalidRequest(message, field="output") from error


def _shown(stores: Stores, principal: Principal, kit: Kit) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(kit)
    counts = table_keys.resealing(stores.database.read, principal.tenant_id)
    kept: dict[str, Any] = {name: shown[name] for name in ("public_key", "made_at", "made_by", "confirmed_at")}
    kept |= msgspec.to_builtins(counts)
    return kept
