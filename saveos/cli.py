"""Edge: the appliance's command line. Parses, calls a verb, maps errors to exit codes."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import (
    __version__,
    cli_addresses,
    cli_alerts,
    cli_catalogue,
    cli_download,
    cli_keys,
    cli_offsite,
    cli_proofs,
    cli_protection,
    cli_quota,
    cli_recover,
    cli_restore,
    cli_selfbackup,
    cli_snapshot,
    cli_unlock,
    config,
    logging,
)
from saveos.agents import addresses as told_addresses
from saveos.agents import enrolment, handout, provisioning
from saveos.cli_catalogue import Shown
from saveos.errors import AlreadyRunning, BuildError, InvalidRequest, SaveOSError
from saveos.identity import sessions
from saveos.identity.principals import Principal, system
from saveos.installers import bases, requests, stamp, updates
from saveos.jobs import table as jobs
from saveos.jobs.model import ENDED, GOOD
from saveos.policies import defaults
from saveos.protocol import ExitCode, Hostname, Platform, Stamp
from saveos.standing import addresses
from saveos.stores import hold, open_stores
from saveos.tenants import facts, users

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saveos.app import Appliance
    from saveos.config import Settings
    from saveos.stores import Stores

EXIT_CODES = (
    "Exit codes: 0 done, 1 error, 2 wrong usage, 3 done with warnings, 10 nothing there, 11 locked, 12 another kit's"
    " code, 13 appliance or store unreachable,"
    " 130 interrupted."
)
FLAGS = {
    "address": "address to listen on",
    "port": "the one HTTPS port",
    "language": "language of pages for browsers that ask for neither: en, fr",
    "log_level": "debug, info, warning, error",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        settings, origins = config.load_with_origins(_flags(parsed), os.environ, parsed.config)
        logging.configure(settings.log_level)
        if parsed.command == "serve":
            from saveos import app  # noqa: PLC0415 - a second of imports that no other command needs

            app.serve(settings, _announce(as_json=parsed.json), origins)
            return ExitCode.DONE
        if parsed.remote is not None:
            shown = parsed.remote(settings, parsed)
        else:
            with open_stores(settings) as stores:
                shown = parsed.run(stores, parsed)
        if shown:
            _show(shown, as_json=parsed.json)
    except SaveOSError as error:
        return _fail(error, as_json=parsed.json)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return shown.code if isinstance(shown, Shown) else ExitCode.DONE


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", help="the data folder")
    common.add_argument("--config", type=Path, help="settings file (default: saveos.toml in the data folder)")
    common.add_argument("--json", action="store_true", help="print JSON")
    parser = argparse.ArgumentParser(prog="saveos", description="A backup appliance.", epilog=EXIT_CODES)
    parser.set_defaults(remote=None)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", parents=[common], help="serve the appliance", epilog=EXIT_CODES)
    for name, text in FLAGS.items():
        serve.add_argument(f"--{name.replace('_', '-')}", help=text)
    serve.add_argument("--name", dest="names", action="append", help="a further name or address of this machine")

    groups: dict[str, Any] = {}

    def group(name: str, text: str) -> Any:
        if name not in groups:
            made = commands.add_parser(name, help=text)
            groups[name] = made.add_subparsers(dest="verb", required=True, metavar="VERB")
        return groups[name]

    def verb(parent: Any, name: str, text: str, run: Callable[[Stores, argparse.Namespace], Any]) -> Any:
        made = parent.add_parser(name, parents=[common], help=text, description=text, epilog=EXIT_CODES)
        made.set_defaults(run=run)
        return made

    def remote(name: str, text: str, run: Callable[[Settings, argparse.Namespace], Any]) -> Any:
        made = commands.add_parser(name, parents=[common], help=text, description=text, epilog=EXIT_CODES)
        made.set_defaults(remote=run)
        return made

    admin = verb(group("admin", "people"), "create", "create an administrator", _create_administrator)
    admin.add_argument("email")
    admin.add_argument("--password-stdin", action="store_true", required=True, help="read the password from stdin")
    token = verb(group("token", "API tokens"), "create", "create an API token", _create_token)
    token.add_argument("email")
    token.add_argument("--name", required=True, help="what the token is for")
    cli_download.add_arguments(
        remote("download", "fetch files of a snapshot from the serving appliance", cli_download.run)
    )
    cli_unlock.add_arguments(
        remote("unlock", "unlock hosts for some minutes with the recovery code", cli_unlock.run),
        remote("lock", "lock again what is unlocked", cli_unlock.lock),
    )
    agent = group("agent", "hosts")
    provision = verb(agent, "provision", "make the executable that enrols one host", _provision)
    provision.add_argument("hostname")
    provision.add_argument("--platform", type=Platform, default=Platform.LINUX, choices=list(Platform))
    provision.add_argument("--output", type=Path, required=True, help="the file to write")
    provision.add_argument(
        "--port", type=int, help="the port, if the appliance is to serve on another one than last time"
    )
    verb(agent, "list", "list the agents", _list_agents)
    update = verb(agent, "update", "let agents become the present executable", _update)
    whom = update.add_mutually_exclusive_group(required=True)
    whom.add_argument("agent", nargs="?", help="id or hostname")
    whom.add_argument("--all", action="store_true", help="every agent that has an update")
    revoke = verb(agent, "revoke", "take an agent's identity back", _revoke)
    revoke.add_argument("agent", help="id or hostname")
    _add_features(commands, group, verb, remote)
    cli_alerts.add(group, agent, lambda parent, name, text, run: verb(parent, name, text, _by_default(run)))
    return parser


def _add_features(
    commands: Any, group: Callable[..., Any], verb: Callable[..., Any], remote: Callable[..., Any]
) -> None:
    """Add what the features of the same names say."""

    def own(parent: Any, name: str, text: str, run: Callable[..., Any]) -> Any:
        return verb(parent, name, text, _by_default(run))

    cli_keys.add(commands, group, own)
    cli_catalogue.add(commands, verb)
    cli_restore.add(commands, verb, _by_default)
    cli_snapshot.add(group, own)
    cli_addresses.add(group, own)
    cli_protection.add(group, own)
    cli_offsite.add(group, own)
    cli_selfbackup.add(group, own)
    cli_recover.add_recover(remote("recover", "rebuild the appliance from a backup of itself", cli_recover.recover))
    cli_recover.add_adopt(remote("adopt", "list the repositories in a folder", cli_recover.adopt))
    cli_quota.add(verb, group("quota", "limits of storage"), _by_default)
    cli_proofs.add(commands, verb, _by_default)
    cli_proofs.add_offline(remote("verify-report", "verify a report, offline", cli_proofs.verify_report))


def _flags(parsed: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(parsed, name, None) for name in ("data", "names", *FLAGS)}


def _announce(*, as_json: bool) -> Callable[[Appliance], None]:
    """Return what tells on standard output that the appliance is ready."""

    def announce(appliance: Appliance) -> None:
        token = users.offer_setup(appliance.stores.database)
        address = f"https://{appliance.addresses[0]}"
        ready = {
            "address": address,
            "fingerprint": appliance.stores.authority.fingerprint,
            "setup": f"{address}/setup#{token.text}" if token else None,
            "data": appliance.stores.settings.data,
        }
        if as_json:
            print(json.dumps(ready), flush=True)
            return
        print(f"SaveOS {__version__} is ready: {address}")
        if len(appliance.addresses) > 1:
            print(f"Also at:     {', '.join(appliance.addresses[1:])}")
        print(f"Root SHA-256 {ready['fingerprint']}")
        if token:
            print(f"\nCreate the administrator (this link works once):\n  {ready['setup']}\n")
        sys.stdout.flush()

    return announce


def _default_principal(stores: Stores) -> Principal:
    return system(users.default_tenant(stores.database), "command line")


def _by_default(
    run: Callable[[Stores, Principal, argparse.Namespace], Any],
) -> Callable[[Stores, argparse.Namespace], Any]:
    """Let a command act as whoever has a shell on the appliance."""
    return lambda stores, parsed: run(stores, _default_principal(stores), parsed)


def _create_administrator(stores: Stores, parsed: argparse.Namespace) -> dict[str, Any]:
    password = sys.stdin.readline().rstrip("\n")
    made = users.create_administrator(stores.database, parsed.email, password, "", defaults.give_default)
    shown: dict[str, Any] = {"id": made.user_id, "email": made.email}
    if made.recovery_code:
        shown["recovery_code"] = made.recovery_code
        shown["note"] = "Keep the recovery code safe: it opens every host's key and is shown this once."
    return shown


def _create_token(stores: Stores, parsed: argparse.Namespace) -> dict[str, Any]:
    principal = users.user_principal(stores.database, parsed.email)
    made, token = sessions.create_api_token(stores.database, principal, parsed.name)
    return {"id": made.id, "token": token.text}


def _provision(stores: Stores, parsed: argparse.Namespace) -> dict[str, Any]:
    principal = _default_principal(stores)
    settings = stores.settings
    try:
        hostname = msgspec.convert({"hostname": parsed.hostname}, _Named).hostname
    except msgspec.ValidationError as error:
        message = f"{parsed.hostname!r} is not a hostname."
        raise InvalidRequest(message, field="hostname") from error
    base = _wait_for_base(stores, principal, parsed.platform)
    hours = settings.provisioning_hours
    made, _unused = provisioning.create(stores.database, principal, hostname, parsed.platform, hours=hours)
    made, token = handout.take_by_person(stores.database, principal, made.id)
    served_at = () if parsed.port else facts.addresses(stores.database)
    payload = Stamp(
        addresses=told_addresses.for_stamp(
            stores.database.read, served_at or addresses(settings, int(parsed.port or settings.port))
        ),
        root_certificate=stores.authority.root_pem,
        token=token.text,
        hostname=hostname,
    )
    try:
        stamp.write(base, payload, parsed.output)
    except OSError as error:
        message = f"{parsed.output} cannot be written: {error.strerror}."
        raise InvalidRequest(message) from error
    return {"provisioning": made.id, "file": str(parsed.output), "expires_at": str(made.expires_at)}


def _wait_for_base(stores: Stores, principal: Principal, platform: Platform) -> Path:
    """Return the platform's executable. A serving appliance builds it; when none serves, it is built here."""
    while (base := bases.find(stores.settings, platform)) is None:
        try:
            with hold(stores.settings):
                print("Building the agent's executable, about a minute, once …", file=sys.stderr)
                return bases.build(stores.settings, platform, lambda _line: None, lambda: False)
        except AlreadyRunning:
            job_id = requests.ensure(stores.database, stores.settings, principal, platform)
        while job_id is not None:
            job = jobs.get(stores.database.read, job_id)
            if job is None or job.state in GOOD:
                break
            if job.state in ENDED:
                raise BuildError(f"The executable could not be built: {job.message}")
            time.sleep(0.3)
    return base


def _list_agents(stores: Stores, _parsed: argparse.Namespace) -> list[dict[str, Any]]:
    found = enrolment.find(stores.database, _default_principal(stores), limit=100_000)
    return [msgspec.to_builtins(agent) for agent in found]


def _update(stores: Stores, parsed: argparse.Namespace) -> dict[str, Any]:
    principal = _default_principal(stores)
    if not parsed.all:
        agent = enrolment.by_name(stores.database, principal, parsed.agent)
        job = updates.request(stores.database, stores.settings, principal, agent.id)
        return {"job": job.id, "state": job.state.value}
    ids = [agent.id for agent in enrolment.find(stores.database, principal, limit=100_000)]
    asked: dict[str, Any] = msgspec.to_builtins(updates.request_many(stores.database, stores.settings, principal, ids))
    return asked


def _revoke(stores: Stores, parsed: argparse.Namespace) -> dict[str, Any]:
    principal = _default_principal(stores)
    agent = enrolment.by_name(stores.database, principal, parsed.agent)
    shown: dict[str, Any] = msgspec.to_builtins(enrolment.revoke(stores.database, principal, agent.id))
    return shown


class _Named(msgspec.Struct):
    hostname: Hostname


def _show(result: Any, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.result if isinstance(result, Shown) else result, ensure_ascii=False))
    elif isinstance(result, Shown):
        print("\n".join(result.lines))
    elif isinstance(result, list):
        for row in result:
            seen = row["seen_at"] or "never"
            backed_up, proven = row["last_backup_at"] or "never", row["proven_at"] or "none yet"
            print(f"{row['id']}  {row['state']:<9} {row['hostname']:<30} last heard of: {seen}")
            print(f"{'':<28}last backup: {backed_up}  last proven restore: {proven}")
        if not result:
            print("No agents yet: saveos agent provision HOSTNAME --output FILE")
    else:
        for name, value in result.items():
            print(f"{name}: {value}")


def _fail(error: SaveOSError, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"error": {"code": error.code, "message": error.message}}))
    print(f"saveos: {error.message}", file=sys.stderr)
    return error.exit_code
