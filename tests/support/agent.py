"""The real agent from source on this machine: enrolled in a folder of its own, as a daemon or for one command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import config
from saveos.installers import bases
from saveos.protocol import Platform, Stamp
from tests.support.appliance import wait_until
from tests.support.processes import alive, processes
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.appliance import Appliance

COMMAND_SECONDS = 180


def put_base(appliance: Appliance) -> None:
    """Lay something where the executable would be built: the build takes half a minute and has tests of its own."""
    settings = config.load({"data": str(appliance.data)}, {})
    base = settings.bases / bases.name_of(Platform.LINUX)
    base.parent.mkdir(exist_ok=True, mode=0o700)
    base.write_bytes(b"executable")


def back_up_only(appliance: Appliance, *sources: Path) -> None:
    """Give the default policy these sources alone."""
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET sources_json = ?", (json.dumps([str(path) for path in sources]),))


@contextlib.contextmanager
def database(appliance: Appliance) -> Any:
    """Open the appliance's database; what is changed is kept at the end."""
    with contextlib.closing(sqlite3.connect(appliance.data / "saveos.db", timeout=20)) as connection, connection:
        yield connection


@dataclass
class RealAgent:
    """One host. `before` are words in front of its command, such as those of a wrong clock."""

    appliance: Appliance
    folder: Path
    hostname: str = "host"
    before: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    copies: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def enrolled(
        cls,
        appliance: Appliance,
        folder: Path,
        *,
        hostname: str = "host",
        address: str = "",
        before: tuple[str, ...] = (),
    ) -> RealAgent:
        """Provision by REST and enrol; `address` instead of the appliance's own."""
        folder.mkdir(parents=True, exist_ok=True)
        agent = cls(appliance, folder, hostname, before)
        made = appliance.call("POST", "/api/v1/agents/provision", {"hostname": hostname}).expect(201)
        stamp = Stamp(
            addresses=(address or f"127.0.0.1:{appliance.port}",),
            root_certificate=(appliance.data / "authority" / "root.pem").read_text(),
            token=made["token"],
            hostname=hostname,
        )
        (folder / "stamp.json").write_bytes(msgspec.json.encode(stamp))
        agent.succeed("enrol", "--stamp", str(folder / "stamp.json"))
        if address:
            agent.stay_where_it_enrolled()
        return agent

    def stay_where_it_enrolled(self) -> None:
        """Let it know no other address: a line that a test cuts is to be the only one."""
        config = json.loads(self.config.read_text()) | {"learns_addresses": False}
        self.config.write_text(json.dumps(config))

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "agent" / "config.json"

    @property
    def id(self) -> str:
        """The agent's id."""
        return str(json.loads(self.config.read_text())["agent_id"])

    @property
    def repository(self) -> Path:
        """Its repository on the appliance."""
        return next((self.appliance.data / "repositories").glob(f"*/{self.id}"))

    @property
    def log(self) -> str:
        """What its daemon has said."""
        return (self.folder / "daemon.log").read_text()

    def words(self, *words: str | bytes) -> list[str | bytes]:
        """Return the whole command line of a command."""
        return [*self.before, sys.executable, "-m", "saveos.agent", "--config", str(self.config), *words]

    def run(self, *words: str | bytes) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(self.words(*words), capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)

    def succeed(self, *words: str | bytes) -> Any:
        """Run a command with --json; it has to end well. Return what it printed."""
        done = self.run("--json", *words)
        assert done.returncode == 0, (words, done.returncode, done.stdout[-5000:], done.stderr[-2000:])
        return json.loads(done.stdout)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        with (self.folder / "daemon.log").open("ab") as log:
            return subprocess.Popen(self.words(*words), stdout=log, stderr=log)

    def start_daemon(self) -> None:
        """Serve."""
        self.process = self.start("daemon")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon and return its exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(how)
        return process.wait(timeout=60)

    def kill(self) -> None:
        """End the daemon as a power cut would."""
        self.stop(signal.SIGKILL)

    def borgs(self, *words: str) -> list[int]:
        """Return the process ids of this host's running Borgs, all or those with these words."""
        mark = f"BORG_BASE_DIR={self.folder}/".encode()
        return [
            process.pid
            for process in processes()
            if "borg" in process.words and mark in process.environment and set(words) <= set(process.words)
        ]

    def leftovers(self) -> list[int]:
        """Return every process of this host besides its daemon."""
        mark = str(self.folder).encode()
        own = {self.process.pid if self.process else 0, os.getpid()}
        return [
            process.pid
            for process in processes()
            if process.pid not in own and "saveos.agent" in process.words and mark in process.environment
        ]

    def back_up(self, *paths: Path) -> str:
        """Ask the appliance for a backup and return the job's id."""
        body = {"agent_id": self.id, "paths": [str(path) for path in paths]}
        return str(self.appliance.call("POST", "/api/v1/backup", body).expect(202)["id"])

    def first_backup(self, seconds: float = 120) -> dict[str, Any]:
        """Wait for the job that the appliance asks for by itself, and return it ended."""
        found = wait_until(
            lambda: self.appliance.call("GET", f"/api/v1/jobs?agent_id={self.id}&kind=backup").expect(200)["items"],
            seconds,
            "the first backup to be asked for",
        )
        return self.appliance.wait_for_job(found[-1]["id"], seconds)

    def await_progress(self, job_id: str, more_than: int = 0, seconds: float = 60) -> dict[str, Any]:
        """Wait until a running job has read so many bytes, and return its last word."""

        def said() -> Any:
            job = self.appliance.job(job_id)
            assert job["state"] in ("queued", "running"), job
            progress = job.get("progress")
            return progress if progress and progress["original_bytes"] > more_than else None

        told: dict[str, Any] = wait_until(said, seconds, f"job {job_id} to be under way")
        return told

    def restore(self, snapshot_id: str, target: Path) -> None:
        """Restore a snapshot by the command line."""
        self.succeed("restore", snapshot_id, "--target", str(target))

    def stock_borg(self, *words: str | bytes, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run Borg's own client on the repository in the appliance's folder, with the host's passphrase."""
        passphrase = (self.folder / "agent" / "passphrase").read_text().strip()
        return stock_borg(self.repository, passphrase, self.folder / "stock", *words, folder=folder)


def stock_borg(
    repository: Path, passphrase: str, home: Path, *words: str | bytes, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the Borg that is installed here on a repository in a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BORG_")}
    environment = kept | {
        "BORG_REPO": str(repository),
        "BORG_PASSPHRASE": passphrase,
        "BORG_BASE_DIR": str(home),
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_SELFTEST": "disabled",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [str(Path(sys.executable).with_name("borg")), *words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=COMMAND_SECONDS,
        check=False,
    )


def assert_restored(tree: Path, target: Path) -> None:
    """Fail unless a restore into `target` brought the tree back."""
    assert differences(tree, target / tree.relative_to("/")) == []


def assert_all_gone(pids: Sequence[int], seconds: float = 30) -> None:
    """Fail unless these processes end."""
    wait_until(lambda: not any(map(alive, pids)), seconds, f"{pids} to end")
