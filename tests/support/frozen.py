"""The agent's real one-file executable on this machine: enrolled by its stamp, served by hand, replaced there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from saveos import config
from saveos.installers import bases, stamp
from saveos.protocol import Platform, Stamp
from tests.support.agent import RealAgent
from tests.support.executable import ready_base
from tests.support.processes import descendants

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.appliance import Appliance


@dataclass
class FrozenAgent(RealAgent):
    """One host that runs the executable."""

    @property
    def executable(self) -> Path:
        """Where it lies."""
        return self.folder / "bin" / "saveos-agent"

    @property
    def previous(self) -> Path:
        """Where its predecessor stays."""
        return self.executable.with_name("saveos-agent.previous")

    @property
    def mark(self) -> Path:
        """Which update is under way."""
        return self.config.parent / "state" / "update.json"

    @classmethod
    def installed(cls, appliance: Appliance, folder: Path, hostname: str, address: str = "") -> FrozenAgent:
        """Stamp the executable, enrol with it, and serve."""
        agent = cls(appliance, folder, hostname)
        agent.executable.parent.mkdir(parents=True)
        made = appliance.call("POST", "/api/v1/agents/provision", {"hostname": hostname}).expect(201)
        payload = Stamp(
            addresses=(address or f"127.0.0.1:{appliance.port}",),
            root_certificate=(appliance.data / "authority" / "root.pem").read_text(),
            token=made["token"],
            hostname=hostname,
        )
        stamp.write(ready_base(), payload, agent.executable)
        agent.succeed("enrol")
        if address:
            agent.stay_where_it_enrolled()
        agent.start_daemon()
        return agent

    def words(self, *words: str | bytes) -> list[str | bytes]:
        """Return the whole command line of a command."""
        return [str(self.executable), "--config", str(self.config), *words]

    def kill(self) -> None:
        """End the daemon as a power cut would: its loader and its Python at once."""
        process, self.process = self.process, None
        if process is None:
            return
        for pid in (process.pid, *descendants(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(timeout=60)

    def beside(self) -> set[str]:
        """Return what lies in the executable's folder."""
        return {path.name for path in self.executable.parent.iterdir()}


def another(mark: bytes) -> bytes:
    """Return an executable that does what the real one does, and is another one: it is longer."""
    return ready_base().read_bytes() + mark * 16


def offer(appliance: Appliance, content: bytes) -> str:
    """Let this be the appliance's executable for hosts; return its SHA-256."""
    settings = config.load({"data": str(appliance.data)}, {})
    path = settings.bases / bases.name_of(Platform.LINUX)
    made = path.with_name(f"{time.monotonic_ns()}")
    made.write_bytes(content)
    made.chmod(0o700)
    made.replace(path)
    return hashlib.sha256(content).hexdigest()
