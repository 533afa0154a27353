"""The trial of an executable before it takes the place of another: does it start here and do its work."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import msgspec

from saveos import __version__

BORG_SECONDS = 60


def main(words: list[str]) -> int:
    """Say which version this is, once it has reached the appliance as this host and Borg has started."""
    from saveos.agent import commands  # noqa: PLC0415 - all that a daemon needs must be there
    from saveos.agent.update import Trial  # noqa: PLC0415

    parser = argparse.ArgumentParser()
    parser.add_argument("--config", required=True)
    config = Path(parser.parse_args(words).config)
    try:
        commands.try_out(config)
        _start_borg()
    except Exception as error:  # noqa: BLE001 - whatever it is, the other executable is told
        trial = Trial(version=__version__, error=str(error) or type(error).__name__)
    else:
        trial = Trial(version=__version__)
    sys.stdout.write(msgspec.json.encode(trial).decode())
    return 1 if trial.error else 0


def _start_borg() -> None:
    from saveos.agent.settings import own_command  # noqa: PLC0415

    subprocess.run(own_command("borg", "--version"), check=True, capture_output=True, timeout=BORG_SECONDS)
