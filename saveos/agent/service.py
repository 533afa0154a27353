"""The agent as a service of the host: systemd, launchd, the Windows task scheduler; one interface."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from saveos.agent import succession
from saveos.agent.executable import system_environment
from saveos.agent.failures import Failure
from saveos.agent.settings import is_frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.agent.settings import Home

EXECUTABLE = Path("/usr/local/bin/saveos-agent")
UNIT = Path("/etc/systemd/system/saveos-agent.service")
PLIST = Path("/Library/LaunchDaemons/org.saveos.agent.plist")
LABEL = "org.saveos.agent"
TASK = "SaveOS agent"
UNPACKED = Path("/var/lib/saveos-agent")


class Service(Protocol):
    """What the commands need of a service manager."""

    def install(self, home: Home) -> None:
        """Put the executable in its place, start it now and at each boot."""

    def remove(self) -> None:
        """Stop it and take it away, with its executable."""

    def is_active(self) -> bool:
        """Return whether it runs."""


class Systemd:
    """Linux."""

    def install(self, home: Home) -> None:
        """Write the unit and start it. Raises Failure."""
        command = _place_executable()
        UNIT.write_text(_unit(home.config, command))
        _require("systemctl", "daemon-reload")
        _require("systemctl", "enable", "saveos-agent.service")
        _require("systemctl", "restart", "saveos-agent.service")

    def remove(self) -> None:
        """Stop and forget the unit."""
        if UNIT.exists():
            _run("systemctl", "disable", "--now", "saveos-agent.service")
            UNIT.unlink(missing_ok=True)
            _run("systemctl", "daemon-reload")
        shutil.rmtree(UNPACKED, ignore_errors=True)
        succession.remove(EXECUTABLE)

    def is_active(self) -> bool:
        """Return whether systemd says "active"."""
        return _run("systemctl", "is-active", "--quiet", "saveos-agent.service").returncode == 0


class Launchd:
    """macOS."""

    def install(self, home: Home) -> None:
        """Write the property list and load it. Raises Failure."""
        command = [*_place_executable(), "--config", str(home.config), "daemon"]
        words = "".join(f"<string>{word}</string>" for word in command)
        PLIST.write_text(
            '<?xml version="1.0" encoding="UTF-8"?><plist version="1.0"><dict>'
            f"<key>Label</key><string>{LABEL}</string><key>ProgramArguments</key><array>{words}</array>"
            "<key>RunAtLoad</key><true/><key>KeepAlive</key><true/></dict></plist>\n"
        )
        _require("launchctl", "bootstrap", "system", str(PLIST))

    def remove(self) -> None:
        """Unload and delete it."""
        _run("launchctl", "bootout", f"system/{LABEL}")
        PLIST.unlink(missing_ok=True)
        succession.remove(EXECUTABLE)

    def is_active(self) -> bool:
        """Return whether launchd knows it."""
        return _run("launchctl", "print", f"system/{LABEL}").returncode == 0


class ScheduledTask:
    """Windows: a task as SYSTEM that starts with the machine."""

    def install(self, home: Home) -> None:
        """Register and start the task. Raises Failure."""
        command = subprocess.list2cmdline([sys.executable, "--config", str(home.config), "daemon"])
        _require("schtasks", "/Create", "/F", "/TN", TASK, "/SC", "ONSTART", "/RU", "SYSTEM", "/TR", command)
        _require("schtasks", "/Run", "/TN", TASK)

    def remove(self) -> None:
        """End and delete the task."""
        _run("schtasks", "/End", "/TN", TASK)
        _run("schtasks", "/Delete", "/F", "/TN", TASK)

    def is_active(self) -> bool:
        """Return whether the task is registered."""
        return _run("schtasks", "/Query", "/TN", TASK).returncode == 0


def of_platform() -> Service:
    """Return the service manager of this host."""
    if sys.platform == "darwin":
        return Launchd()
    if sys.platform == "win32":
        return ScheduledTask()
    return Systemd()


def place_into(target: Path, config: Path) -> bool:
    """Put executable and unit into a system that lies in a folder, to start at its next boot; return whether it did.

    `config`: the path of config.json as that system sees it. Raises Failure when a link there leads out of the target.
    """
    units = target / UNIT.relative_to("/")
    if not is_frozen() or not (target / "etc" / "systemd").is_dir():
        return False
    executable = target / EXECUTABLE.relative_to("/")
    for path in (units, executable):
        require_inside(target, path)
    executable.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sys.executable, executable)
    executable.chmod(0o700)
    units.parent.mkdir(parents=True, exist_ok=True)
    units.write_text(_unit(config, [str(EXECUTABLE)]))
    wants = units.parent / "multi-user.target.wants" / UNIT.name
    wants.parent.mkdir(exist_ok=True)
    wants.unlink(missing_ok=True)
    wants.symlink_to(UNIT)
    return True


def require_inside(target: Path, path: Path) -> None:
    """Raise Failure when the way to a path below a target leads out of it: what was restored may hold any link."""
    if not path.resolve().is_relative_to(target.resolve()):
        message = f"{path} is a link that leads out of {target}: nothing was written there."
        raise Failure("link-out-of-target", message)


def require_rights() -> None:
    """Raise Failure unless a service can be installed by this user."""
    if sys.platform != "win32" and os.geteuid() != 0:
        message = "Installing the service needs root: use sudo, or 'enrol' and 'backup --wait' without a service."
        raise Failure("not-root", message)


def _unit(config: Path, command: Sequence[str]) -> str:
    start = shlex.join([*command, "--config", str(config), "daemon"])
    # It reads every file of the host and restores any: what can be taken from it is little.
    return f"""[Unit]
Description=SaveOS backup agent
After=network-online.target
Wants=network-online.target

[Service]
Type=simple
ExecStart={start}
Restart=always
RestartSec=5
KillMode=mixed
TimeoutStopSec=60
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=6
StateDirectory=saveos-agent
StateDirectoryMode=0700
Environment=TMPDIR={UNPACKED}
Environment=HOME={Path.home()}
UMask=0077
NoNewPrivileges=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
RestrictRealtime=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK

[Install]
WantedBy=multi-user.target
"""


def _place_executable() -> list[str]:
    """Copy this executable to where services live; from source, there is nothing to copy."""
    if not is_frozen():
        return [sys.executable, "-m", "saveos.agent"]
    EXECUTABLE.parent.mkdir(parents=True, exist_ok=True)
    if Path(sys.executable).resolve() != EXECUTABLE:
        temporary = EXECUTABLE.with_name(f".{EXECUTABLE.name}.new")
        shutil.copyfile(sys.executable, temporary)
        temporary.chmod(0o700)  # it may still carry the enrolment token
        temporary.replace(EXECUTABLE)
    return [str(EXECUTABLE)]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, env=system_environment())
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not on this host")


def _require(*command: str) -> None:
    done = _run(*command)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise Failure("service-failed", f"'{shlex.join(command)}' failed: {reason}.")
