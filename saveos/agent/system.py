"""Facts about this host that the appliance shows."""

from __future__ import annotations

import contextlib
import os
import platform as machine
import re
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

from saveos import __version__
from saveos.agent.executable import own_build
from saveos.agent.machine import machine as machine_class
from saveos.protocol import Heartbeat, JobId, Kind, Platform

KINDS = (
    Kind.DRILL.value,
    Kind.OFFSITE_DRILL.value,
    Kind.PRUNE.value,
    Kind.VERIFY.value,
)  # what an older agent would not understand


def platform() -> Platform:
    """Return what this executable runs on."""
    return {"darwin": Platform.MACOS, "win32": Platform.WINDOWS}.get(sys.platform, Platform.LINUX)


def host_name() -> str:
    """Return the host's name in the form the appliance takes."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:253].strip("-._")
    return name or "host"


def description() -> str:
    """Return the operating system's name for itself."""
    with contextlib.suppress(OSError):
        return machine.freedesktop_os_release().get("PRETTY_NAME", "")[:255]
    return f"{machine.system()} {machine.release()}"[:255]


def time_zone() -> str:
    """Return the IANA name of the host's zone, empty when it cannot be told."""
    if zone := os.environ.get("TZ"):
        return zone.lstrip(":")[:255]
    with contextlib.suppress(OSError):
        target = str(Path("/etc/localtime").resolve())
        if "zoneinfo/" in target:
            return target.split("zoneinfo/", 1)[1][:255]
    with contextlib.suppress(OSError):
        return Path("/etc/timezone").read_text().strip()[:255]
    return ""


def heartbeat(running_job: JobId | None, wait_seconds: float, addresses_serial: int = 0) -> Heartbeat:
    """Return what a heartbeat says."""
    return Heartbeat(
        agent_version=__version__,
        platform=platform(),
        system=description(),
        time_zone=time_zone(),
        local_time=datetime.now(UTC),
        running_job=running_job,
        wait_seconds=wait_seconds,
        build=own_build(),
        kinds=KINDS,
        machine=machine_class(),
        addresses_serial=addresses_serial,
    )
