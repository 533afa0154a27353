"""What each command does. Every one returns (exit code, result for --json, lines for a person)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent import enrol as enrolment
from saveos.agent import listing_sender, locks, service
from saveos.agent import recover as recovery
from saveos.agent.borg_log import printable
from saveos.agent.client import Client
from saveos.agent.failures import EXIT_CODES, Failure
from saveos.agent.loop import Daemon
from saveos.agent.restores import inside, target_of
from saveos.agent.settings import Config, Home, is_frozen, read_stamp
from saveos.agent.terminal import Bar, restored_lines, size
from saveos.agent.work import Work
from saveos.protocol import ExitCode, Kind, OnConflict, Outcome, OwnJobRequest

if TYPE_CHECKING:
    import argparse

    from saveos.protocol import Assignment, OwnSnapshot, Stamp

    Answer = tuple[int, Any, list[str]]

LOST = "lost"  # a snapshot's standing
OUTCOMES = {
    Outcome.DONE: ExitCode.DONE,
    Outcome.WARNED: ExitCode.WARNINGS,
    Outcome.CANCELLED: ExitCode.INTERRUPTED,
    Outcome.FAILED: ExitCode.ERROR,
}


def install(home: Home, options: argparse.Namespace) -> Answer:
    """Enrol and start the service."""
    service.require_rights()
    config = home.load()
    if config is None or not config.is_sealed:
        config = enrolment.enrol(home, _stamp(options))
    service.of_platform().install(home)
    return ExitCode.DONE, _described(config), [f"{config.hostname} is protected; the service runs."]


def enrol(home: Home, options: argparse.Namespace) -> Answer:
    """Enrol without a service."""
    config = enrolment.enrol(home, _stamp(options))
    lines = [f"{config.hostname} is enrolled.", "Back up with: saveos-agent backup --wait PATH…"]
    return ExitCode.DONE, _described(config), lines


def status(home: Home, _options: argparse.Namespace) -> Answer:
    """Tell how this host stands."""
    config = require_enrolled(home)
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        seen = client.status()
    is_served = _is_served(home)
    result = {**msgspec.to_builtins(seen), "daemon": is_served, "address": client.at}
    lines = [
        f"{seen.hostname} ({seen.agent_id}) at {client.at}: {seen.state}",
        f"daemon: {'running' if is_served else 'not running'}",
        f"snapshots: {seen.snapshots_count}, last: {seen.last_backup_at or 'never'}",
        f"last proven restore: {seen.last_proven_at or 'none yet'}",
        f"next backup: {seen.next_backup_at or 'not scheduled'}",
    ]
    return ExitCode.DONE, result, lines


def backup(home: Home, options: argparse.Namespace) -> Answer:
    """Back up: here and now with --wait, else by the daemon."""
    config = require_enrolled(home)
    paths = tuple(str(Path(path).absolute()) for path in options.paths)
    asked = OwnJobRequest(kind=Kind.BACKUP, claim=options.wait, sources=paths)
    return _perform(home, config, asked, "backup")


def restore(home: Home, options: argparse.Namespace) -> Answer:
    """Restore a snapshot or some of its paths, here and now."""
    config = require_enrolled(home)
    if options.target is None and not options.original:
        message = "Say where to: --target FOLDER, or --original for the places the files came from."
        raise Failure("usage", message)
    target = target_of(options.target) if options.target else None
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        snapshot = _find(client.snapshots(), options.snapshot)
    asked = OwnJobRequest(
        kind=Kind.RESTORE,
        claim=True,
        snapshot_id=snapshot.snapshot_id,
        selected=tuple(map(inside, options.paths)),
        target=target,
        conflict=OnConflict(options.on_conflict),
        dry_run=options.dry_run,
    )
    return _perform(home, config, asked, "dry run" if options.dry_run else "restore")


def recover(home: Home, options: argparse.Namespace) -> Answer:
    """Bring a host back on this machine, from a rescue system."""
    target = Path(target_of(options.target))
    work, config = recovery.begin(options)
    client = Client.for_host(work, config)
    with contextlib.closing(client):
        snapshot = _find(client.snapshots(), options.snapshot)
    asked = OwnJobRequest(kind=Kind.RESTORE, claim=True, snapshot_id=snapshot.snapshot_id, target=str(target))
    code, result, lines = _perform(work, config, asked, "restore")
    if code not in (ExitCode.DONE, ExitCode.WARNINGS):
        return code, result, [*lines, "Run the same command again: it goes on where it was, without the code."]
    place = recovery.settle(work, config, target, home.config)
    is_placed = service.place_into(target, home.config)
    lines += [f"{config.hostname} is back in {target}; its identity is in {place.config}."]
    lines += ["The agent starts with it at the next boot." if is_placed else "Its agent is to be installed there yet."]
    return code, {**result, "hostname": config.hostname, "config": str(place.config), "service": is_placed}, lines


def mount(home: Home, options: argparse.Namespace) -> Answer:
    """Mount a snapshot, read-only, until it is unmounted."""
    if not sys.platform.startswith("linux"):
        raise Failure("no-fuse", "Only Linux mounts snapshots. Restore into a folder: saveos-agent restore --target")
    from saveos.agent import mounting  # noqa: PLC0415 - not where there is no FUSE

    config = require_enrolled(home)
    folder = Path(options.folder).absolute()
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        snapshot = _find(client.snapshots(), options.snapshot)
    mounting.mount(home, config, snapshot.archive, folder)
    result = {"snapshot_id": snapshot.snapshot_id, "folder": str(folder)}
    return ExitCode.DONE, result, [f"{folder} is unmounted."]


def snapshots(home: Home, _options: argparse.Namespace) -> Answer:
    """List this host's snapshots, newest first."""
    config = require_enrolled(home)
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        found = client.snapshots()
    lines = [
        f"{entry.snapshot_id}  {entry.started_at.astimezone():%Y-%m-%d %H:%M:%S}  {entry.kind:<11}"
        f"  {entry.files_count:>9} files  {size(entry.original_bytes):>10}  added {size(entry.added_bytes):>10}"
        f"{'  LOST: its archive is gone' if entry.standing == LOST else ''}"
        for entry in found
    ]
    lines = lines or ["No snapshots yet: saveos-agent backup --wait PATH…"]
    return ExitCode.DONE, [msgspec.to_builtins(entry) for entry in found], lines


def daemon(home: Home, _options: argparse.Namespace) -> Answer:
    """Serve until told to stop."""
    return Daemon(home, require_enrolled(home)).run(), {}, []


def try_out(config: Path) -> None:
    """Reach the appliance as this host. Raises Failure."""
    home = Home(config)
    client = Client.for_host(home, require_enrolled(home))
    with contextlib.closing(client):
        client.status()


def uninstall(home: Home, options: argparse.Namespace) -> Answer:
    """Remove the service; with --purge also the identity and the passphrase."""
    service.require_rights()
    service.of_platform().remove()
    lines = ["The service is removed. The snapshots stay on the appliance."]
    if options.purge:
        shutil.rmtree(home.folder, ignore_errors=True)
        lines.append("This host's identity and passphrase are removed.")
    return ExitCode.DONE, {"removed": True, "purged": options.purge}, lines


def require_enrolled(home: Home) -> Config:
    """Return the configuration. Raises Failure `not-enrolled`."""
    try:
        config = home.load()
    except (OSError, msgspec.MsgspecError) as error:
        raise Failure("not-enrolled", f"{home.config} cannot be read: {error}.") from error
    if config is None:
        message = f"This host is not enrolled ({home.config} does not exist). Run: saveos-agent enrol"
        raise Failure("not-enrolled", message)
    home.prepare()
    return config


def _perform(home: Home, config: Config, asked: OwnJobRequest, what: str) -> Answer:
    told = _as_told(asked)
    if told != asked and not asked.claim:
        raise Failure("usage", "A path that is no UTF-8 cannot be sent to the daemon: use --wait.")
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        made = client.request_job(msgspec.structs.replace(told, addresses_serial=home.known().serial))
    if made.assignment is None:
        hint = "" if _is_served(home) else " No daemon runs on this host: use --wait to do it now."
        return ExitCode.DONE, {"job_id": made.job_id, "state": "queued"}, [f"The {what} is queued.{hint}"]
    return _run(home, config, _as_asked(made.assignment, asked), what)


def _as_told(asked: OwnJobRequest) -> OwnJobRequest:
    """Return what was asked as JSON can hold it: for the appliance's records, names are bytes only here."""
    return msgspec.structs.replace(
        asked,
        sources=tuple(map(printable, asked.sources)),
        target=printable(asked.target) if asked.target else asked.target,
    )


def _as_asked(assignment: Assignment, asked: OwnJobRequest) -> Assignment:
    """Return the assignment with the very paths that were asked for."""
    backup, restore, chosen = assignment.backup, assignment.restore, assignment.chosen_restore
    if backup is not None and asked.sources:
        backup = msgspec.structs.replace(backup, sources=asked.sources)
    if restore is not None:
        restore = msgspec.structs.replace(restore, target=asked.target)
    if chosen is not None:
        chosen = msgspec.structs.replace(chosen, target=asked.target)
    return msgspec.structs.replace(assignment, backup=backup, restore=restore, chosen_restore=chosen)


def _run(home: Home, config: Config, assignment: Assignment, what: str) -> Answer:
    bar = Bar()
    work = Work(home, config, assignment, bar.show)
    # Borg is stopped from another thread: a signal handler must not wait.
    stop = lambda *_: threading.Thread(target=work.cancel, daemon=True).start()  # noqa: E731
    former = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        report = work.perform()
    finally:
        bar.close()
        for number, handler in former.items():
            signal.signal(number, handler)
    if report.archive is not None and not _is_served(home):
        _send_listings(home, config)
    result = {"job_id": assignment.job_id, **{k: v for k, v in msgspec.to_builtins(report).items() if k != "log"}}
    lines = [f"{what}: {report.outcome.value}. {report.message}".strip()]
    if report.archive is not None:
        facts = report.archive
        lines.append(f"{facts.files_count} files, {size(facts.original_bytes)}, added {size(facts.added_bytes)}")
    if report.restore is not None:
        lines += restored_lines(report.restore)
    code = int(OUTCOMES[report.outcome])
    if report.outcome is Outcome.FAILED:
        code = int(EXIT_CODES.get(report.error_code, ExitCode.ERROR))
    return code, result, lines


def _send_listings(home: Home, config: Config) -> None:
    """Tell the catalogue what was backed up, as no daemon will; the backup is done whether or not this succeeds."""
    with contextlib.suppress(Failure, OSError, msgspec.MsgspecError, KeyboardInterrupt):
        listing_sender.send(home, config)


def _find(found: list[OwnSnapshot], name: str) -> OwnSnapshot:
    for snapshot in found:
        is_there = snapshot.standing != LOST
        if name in (snapshot.snapshot_id, snapshot.archive) or (name == "latest" and is_there):
            if is_there:
                return snapshot
            raise Failure("snapshot-missing", f"The archive of {name} is gone: an administrator can roll back to it.")
    raise Failure("snapshot-missing", f"This host has no snapshot {name}. List them: saveos-agent snapshots")


def _stamp(options: argparse.Namespace) -> Stamp:
    source = Path(options.stamp) if options.stamp else Path(sys.executable) if is_frozen() else None
    stamp = None
    if source is not None:
        try:
            stamp = read_stamp(source)
        except (OSError, msgspec.MsgspecError) as error:
            raise Failure("usage", f"{source} cannot be read: {error}.") from error
    if stamp is None:
        message = "This executable carries no provisioning. Download the one made for this host from the dashboard."
        raise Failure("not-provisioned", message)
    return stamp


def _described(config: Config) -> dict[str, Any]:
    return {"agent_id": config.agent_id, "hostname": config.hostname, "address": config.addresses[0]}


def _is_served(home: Home) -> bool:
    descriptor = locks.try_take(home.daemon_lock)
    if descriptor is None:
        return True
    with contextlib.suppress(OSError):
        os.close(descriptor)
    return False
