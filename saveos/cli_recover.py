"""Edge: `saveos recover` and `saveos adopt`: what there is to do when the appliance is gone."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos import cli_prompt
from saveos.cli_catalogue import Shown, printed
from saveos.database.secrets import Secret
from saveos.errors import InvalidRequest
from saveos.offsite.bucket import Bucket
from saveos.offsite.model import Place
from saveos.offsite.places import valid
from saveos.protocol import ExitCode
from saveos.repositories import finding
from saveos.selfbackup import aftermath, places, recovering
from saveos.selfbackup.recovering import Wanted
from saveos.sizes import shown
from saveos.tenants import recovery

if TYPE_CHECKING:
    import argparse

    from saveos.config import Settings
    from saveos.repositories.finding import FoundRepository
    from saveos.selfbackup.recovering import Recovered, Source

VARIABLE = "SAVEOS_S3_SECRET"
RECOVER_CODES = (
    "Exit codes: 0 recovered, 1 error (the folder is not empty, a self-backup is altered), 2 wrong usage or a mistyped"
    " code, 3 recovered with warnings, 10 no self-backup there, 12 another kit's code, 13 store unreachable."
    f" The recovery code is asked for, or read from the first line of standard input; the store's secret is taken from"
    f" {VARIABLE}, or asked for, or read from the second line."
)
OPEN = (
    "With the recovery kit, Borg alone restores from one: saveos adopt FOLDER --open HOST, then export BORG_PASSPHRASE."
)


def add_recover(parser: argparse.ArgumentParser) -> None:
    """Say what `recover` takes."""
    parser.epilog = RECOVER_CODES
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--from", dest="source", type=Path, help="a folder of self-backups, or one of them")
    where.add_argument("--bucket", help="the bucket of a store")
    parser.add_argument("--endpoint", help="URL of the store")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--prefix", default="", help="as it was chosen for the copies")
    parser.add_argument("--key-id", help="the access key (its secret is asked for)")
    parser.add_argument("--virtual-host", action="store_true", help="the bucket's name is part of the host's")
    parser.add_argument("--ca", type=Path, help="certificates that alone are trusted, PEM")
    parser.add_argument("--list", dest="is_listing", action="store_true", help="list the self-backups, and end")
    parser.add_argument("--at", default="", help="the newest up to this moment (2026-01-31T02:00, UTC), or one's name")
    parser.add_argument("--root", default="", help="the root's fingerprint on the kit: refuse any other")
    parser.add_argument("--repositories", type=Path, metavar="DIR", help="a folder with repositories that are left")
    parser.add_argument("--fetch", action="store_true", help="ask for all other repositories to be fetched at once")


def add_adopt(parser: argparse.ArgumentParser) -> None:
    """Say what `adopt` takes."""
    parser.add_argument("folder", type=Path, help="a folder with Borg's repositories in it or below")
    parser.add_argument(
        "--open", dest="host", help="open this host's key with the recovery code: hostname, id, or path"
    )


def recover(settings: Settings, parsed: argparse.Namespace) -> Shown:
    """Rebuild the appliance. What is asked for is asked before anything is fetched."""
    if not parsed.is_listing:
        recovering.require_empty(settings.folder)
    code = "" if parsed.is_listing else cli_prompt.recovery_code()
    private = None if parsed.is_listing else recovery.private_key(code)
    source = _source(parsed)
    if private is None:
        return _listed(source)
    wanted = Wanted(at=parsed.at, root=parsed.root, repositories=parsed.repositories)
    done = recovering.recover(settings, source, private, wanted, lambda line: print(line, file=sys.stderr))
    after = aftermath.begin(settings, is_fetching=parsed.fetch)
    return _told(settings, done, after)


def adopt(_settings: Settings, parsed: argparse.Namespace) -> Shown:
    """List the repositories in a folder, or open the key of one. Nothing is changed."""
    if not parsed.folder.is_dir():
        raise InvalidRequest(f"{parsed.folder} is no folder.")
    found = finding.below(parsed.folder)
    if parsed.host:
        return _opened(found, parsed.host)
    lines = [line for one in found for line in _lines(one)]
    ending = [OPEN] if found else [f"There is no repository of Borg in {parsed.folder}."]
    return Shown([msgspec.to_builtins(one) for one in found], [*lines, *ending])


def _source(parsed: argparse.Namespace) -> Source:
    if parsed.source is not None:
        return places.Shelf(parsed.source)
    for name in ("endpoint", "key_id"):
        if not getattr(parsed, name):
            raise InvalidRequest(f"With --bucket, --{name.replace('_', '-')} is needed too.", field=name)
    try:
        ca_pem = parsed.ca.read_text() if parsed.ca else ""
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{parsed.ca} cannot be read: {error}.") from error
    place = valid(
        Place(
            endpoint=parsed.endpoint,
            bucket=parsed.bucket,
            access_key_id=parsed.key_id,
            region=parsed.region,
            prefix=parsed.prefix,
            is_path_style=not parsed.virtual_host,
            ca_pem=ca_pem,
        ),
        is_own_network=True,
    )
    return places.Depot(Bucket(place, _secret()))


def _secret() -> Secret:
    if said := os.environ.get(VARIABLE):
        return Secret(said)
    typed = getpass.getpass("Secret of the access key: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not typed.strip():
        raise InvalidRequest("The secret of the access key is needed.", field="secret")
    return Secret(typed.strip())


def _listed(source: Source) -> Shown:
    found = source.listing()
    lines = [f"{one.named.made_at:%Y-%m-%d %H:%M:%S} UTC  {shown(one.bytes):>10}  {one.named.name}" for one in found]
    return Shown([{"name": one.named.name, "bytes": one.bytes} for one in found], lines)


def _told(settings: Settings, done: Recovered, after: aftermath.Aftermath) -> Shown:
    there = done.inventory
    lines = [
        f"Recovered into {settings.folder} from {done.name}.",
        f"What changed after {done.made_at:%Y-%m-%d %H:%M:%S} UTC is not in it.",
        f"Root SHA-256 {done.fingerprint}: compare it with the kit.",
        f"{len(there.tenants)} tenants: {printed(', '.join(there.tenants))}.",
        f"{there.users_count} users, {there.hosts_count} hosts, {there.policies_count} policies.",
        f"{there.snapshots_count} snapshots, {after.learned_count} more generations of copies than it knew.",
        f"{there.repositories_count} repositories: {there.here_count} here, {len(there.away)} in the copy alone.",
    ]
    warnings = [f"Not whole, passed over: {name}." for name in done.passed_over]
    warnings += [f"Of no host here, or a second one: {printed(path)}." for path in done.strange]
    warnings += [
        f"The repository of {printed(name)} is neither here nor in a copy: provision that host anew."
        for name in after.lost
    ]
    warnings += list(after.warnings)
    if after.asked_count:
        lines.append(f"{after.asked_count} repositories are fetched as soon as it serves.")
    elif there.away:
        lines.append("They come back with the host's next backup or a restore; all at once: saveos self-backup fetch.")
    lines.append(f"Start it at the former address: saveos serve --data {settings.folder}")
    result = {**msgspec.to_builtins(done), "asked_count": after.asked_count, "warnings": warnings}
    code = ExitCode.WARNINGS if warnings else ExitCode.DONE
    return Shown(result, [*lines, *(f"Warning: {line}" for line in warnings)], code)


def _lines(one: FoundRepository) -> list[str]:
    changed = f"{one.changed_at:%Y-%m-%d %H:%M} UTC" if one.changed_at else "never"
    label = one.label
    whose = printed(f"{label.hostname} ({label.agent_id}) of {label.tenant}") if label else "host unknown"
    sealed = "with its sealed key" if label and label.seals else "no sealed key beside it"
    return [
        f"{printed(one.path)}",
        f"    id {one.repository_id}",
        f"    {shown(one.bytes)} in {one.segments_count} segments, changed {changed}; {whose}; {sealed}",
    ]


def _opened(found: list[FoundRepository], host: str) -> Shown:
    named = [
        one for one in found if host == one.path or (one.label and host in (one.label.hostname, one.label.agent_id))
    ]
    if len(named) != 1 or named[0].label is None:
        raise InvalidRequest(f"There are {len(named)} such repositories with a label: name one by its path.")
    one, label = named[0], named[0].label
    contents = aftermath.open_label(label, recovery.private_key(cli_prompt.recovery_code()))
    result = {
        "repository": one.path,
        "hostname": label.hostname,
        "passphrase": contents.passphrase,
        "key_export": contents.key_export,
    }
    lines = [
        f"export BORG_PASSPHRASE={contents.passphrase}",
        f"borg list {printed(one.path)}",
        f"borg extract {printed(one.path)}::ARCHIVE",
        "If Borg finds no key in the repository: write this to a file, and borg key import it.",
        contents.key_export,
    ]
    return Shown(result, lines)
