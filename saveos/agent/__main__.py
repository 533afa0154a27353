"""The agent's command line."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from saveos import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_CODES = (
    "Exit codes: 0 done, 1 error, 2 wrong usage, 3 done with warnings, 10 repository missing, 11 repository locked,"
    " 12 passphrase wrong, 13 appliance unreachable, 14 not enrolled, 130 interrupted."
)


# What runs inside this executable besides the commands of people; each parses its own words, and starts fast.
PROGRAMS = {
    "borg": "engine",
    "lend": "lending",
    "listings": "listing_sender",
    "mount-archive": "engine_mount",
    "read": "engine_read",
    "try-excludes": "engine_excludes",
    "tunnel": "tunnel",
    "unseal-listings": "listing_opener",
    "update-trial": "update_trial",
    "verify": "engine_verify",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if os.environ.get("SAVEOS_PRIVATE"):  # started with a key that was unlocked for a while
        from saveos.agent import privacy  # noqa: PLC0415

        privacy.hide()
    if words and (program := PROGRAMS.get(words[0])):
        return int(importlib.import_module(f"saveos.agent.{program}").main(words[1:]))
    return _run(words)


def _run(words: list[str]) -> int:
    from saveos.agent import commands  # noqa: PLC0415 - after the fast paths
    from saveos.agent.failures import Failure  # noqa: PLC0415
    from saveos.agent.settings import Home, default_config  # noqa: PLC0415

    options = _parse(words)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    home = Home(Path(options.config).absolute() if options.config else default_config())
    try:
        code, result, lines = getattr(commands, options.command)(home, options)
    except Failure as failure:
        return _fail(failure.code, str(failure), failure.exit_code, as_json=options.json)
    except OSError as error:
        return _fail("host-error", f"On this host: {error}.", 1, as_json=options.json)
    except KeyboardInterrupt:
        return 130
    if options.json:
        print(json.dumps(result, ensure_ascii=True))
    else:
        for line in lines:
            print(line.encode("utf-8", "backslashreplace").decode())
    return int(code)


def _parse(words: list[str]) -> argparse.Namespace:
    """Parse; paths may also stand behind the options, which argparse alone does not see."""
    parser = _parser()
    options, rest = parser.parse_known_args(words, argparse.Namespace(config=None, json=False))
    flags = [word for word in rest[: rest.index("--") if "--" in rest else None] if word.startswith("-")]
    if rest and (flags or not hasattr(options, "paths")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.paths += [word for word in rest if word != "--"]
    return options


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", default=argparse.SUPPRESS, help="the configuration file")
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    parser = argparse.ArgumentParser(
        prog="saveos-agent",
        parents=[common],
        description="Backs this host up to a SaveOS appliance.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[common], help=text, description=text, epilog=EXIT_CODES)

    for name, text in (("install", "enrol this host and start the service"), ("enrol", "enrol without a service")):
        command(name, text).add_argument("--stamp", help="a provisioning file, when running from source")
    command("status", "tell how this host stands")
    backup = command("backup", "back up now")
    backup.add_argument("--wait", action="store_true", help="do it here and wait for the end; needs no service")
    backup.add_argument("paths", nargs="*", metavar="PATH", help="instead of what the policy says")
    restore = command("restore", "restore a snapshot or some of its paths")
    restore.add_argument("snapshot", help="a snapshot's id, or 'latest'")
    restore.add_argument("paths", nargs="*", metavar="PATH", help="as listed in the snapshot; all when none is given")
    where = restore.add_mutually_exclusive_group()
    where.add_argument("--target", help="the folder to restore into")
    where.add_argument("--original", action="store_true", help="to where the files came from, over what is there")
    restore.add_argument(
        "--on-conflict",
        choices=("overwrite", "skip", "rename"),
        default="overwrite",
        help="what happens where something else stands; rename: what is restored gets another name",
    )
    restore.add_argument("--dry-run", action="store_true", help="only say what would change")
    mount = command("mount", "mount a snapshot, read-only, until it is unmounted (Linux with FUSE)")
    mount.add_argument("snapshot", help="a snapshot's id, or 'latest'")
    mount.add_argument("folder", help="an empty folder")
    recover = command("recover", "bring a host back on this machine, from a rescue system, with the recovery code")
    recover.add_argument("--address", required=True, metavar="HOST:PORT", help="the appliance")
    recover.add_argument("--fingerprint", required=True, help="SHA-256 of its root certificate, as on the recovery kit")
    recover.add_argument("--host", help="which host, by name or id; needed when there are several")
    recover.add_argument("--snapshot", default="latest", help="a snapshot's id instead of the newest")
    recover.add_argument("--target", required=True, help="where the new disk is mounted")
    command("snapshots", "list this host's snapshots")
    command("daemon", "serve until told to stop; the service runs this")
    command("uninstall", "remove the service").add_argument(
        "--purge", action="store_true", help="also remove this host's identity and passphrase"
    )
    return parser


def _fail(code: str, message: str, exit_code: int, *, as_json: bool) -> int:
    text = message.encode("utf-8", "backslashreplace").decode()
    if as_json:
        print(json.dumps({"error": {"code": code, "message": text}}))
    print(f"saveos-agent: {text}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
