"""Somebody with root on a host and all that its agent has: `python -m tests.support.attack NAME CONFIG JOB`.

Speaks to the appliance with the host's own credentials, key and Borg's own library; whatever the agent would never do.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent import borg as agent_borg
from saveos.agent.client import Client
from saveos.agent.settings import Home
from saveos.protocol import ArchiveFacts, JobId, JobReport, Kind, Outcome, OwnJobRequest, TunnelMode

if TYPE_CHECKING:
    from tests.support.agent import RealAgent

SECONDS = 60


def attack(agent: RealAgent, name: str, *, has_job: bool = True, is_reported: bool = False) -> None:
    """Do it, as part of a backup that the host asked for itself, or out of nowhere.

    `is_reported`: then the host says that this backup is made.
    """
    home = Home(agent.config)
    config = home.load()
    assert config is not None
    job_id, archive = None, ""
    if has_job:
        asked = Client.for_host(home, config).request_job(OwnJobRequest(kind=Kind.BACKUP, claim=True))
        assert asked.assignment is not None
        assert asked.assignment.backup is not None
        job_id, archive = asked.job_id, asked.assignment.backup.archive
    with tempfile.NamedTemporaryFile() as settings:
        wanted = agent_borg.tunnel_settings(home, config, TunnelMode.WRITE, JobId(job_id) if job_id else None)
        Path(settings.name).write_bytes(msgspec.json.encode(wanted))
        reading, writing = os.pipe()
        os.write(writing, home.passphrase.read_bytes())
        os.close(writing)
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.attack", name],
            env=agent_borg.environment(home, Path(settings.name), reading)
            | {"BORG_BASE_DIR": str(agent.folder / f"attacker-{name}"), "ARCHIVE": archive},
            pass_fds=[reading],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        os.close(reading)
    assert done.returncode == 0, (name, done.stdout[-3000:], done.stderr[-3000:])
    if is_reported and job_id:
        facts = ArchiveFacts(name=archive, archive_id=_id_of(archive).hex())
        Client.for_host(home, config).report(job_id, JobReport(outcome=Outcome.DONE, archive=facts))


def main(name: str) -> None:
    """Open the repository as Borg's client does, and do it."""
    from borg.archiver import Archiver
    from borg.helpers import Location, Manifest
    from borg.logger import setup_logging
    from borg.remote import RemoteRepository

    setup_logging(level="warning", env_var=None)
    arguments = Archiver().parse_args(["list"])
    location = Location(os.environ["BORG_REPO"])
    with RemoteRepository(location, exclusive=True, lock_wait=20, args=arguments) as repository:
        manifest, key = Manifest.load(repository, (Manifest.Operation.WRITE,))
        ATTACKS[name](repository, manifest, key)
        repository.commit(compact=True)


def forget_archives(_repository: Any, manifest: Any, _key: Any) -> None:
    """Let the manifest name none."""
    for name in list(manifest.archives):
        del manifest.archives[name]
    manifest.write()


def delete_archives(repository: Any, manifest: Any, _key: Any) -> None:
    """Delete the archives' own objects, and leave the manifest alone."""
    for name in list(manifest.archives):
        repository.delete(manifest.archives[name].id)


def delete_the_manifest(repository: Any, _manifest: Any, _key: Any) -> None:
    """Delete the one object that names all archives."""
    repository.delete(b"\0" * 32)


def delete_everything(repository: Any, manifest: Any, _key: Any) -> None:
    """Delete every object but the manifest, which then names none."""
    for key in _objects(repository):
        repository.delete(key)
    forget_archives(repository, manifest, None)


def delete_contents(repository: Any, manifest: Any, _key: Any) -> None:
    """Delete files' contents; archives and manifest look whole."""
    archives = {manifest.archives[name].id for name in manifest.archives}
    for key in [key for key in _objects(repository) if key not in archives][:10]:
        repository.delete(key)


def overwrite(repository: Any, manifest: Any, _key: Any) -> None:
    """Write other bytes over objects."""
    archives = {manifest.archives[name].id for name in manifest.archives}
    for key in [key for key in _objects(repository) if key not in archives][:10]:
        data = repository.get(key)
        repository.put(key, data[:-1] + bytes([data[-1] ^ 1]))


def put_one_in_the_place_of_another(repository: Any, manifest: Any, key: Any) -> None:
    """Let the manifest name the archive that was asked for, and forget another one: as many as there have to be."""
    del manifest.archives[next(iter(manifest.archives))]
    archive = os.environ["ARCHIVE"]
    repository.put(_id_of(archive), key.encrypt(b"looks like an archive"))
    manifest.archives[archive] = (_id_of(archive), datetime.now())  # noqa: DTZ005 - Borg's own are naive
    manifest.write()


def claim_an_archive(_repository: Any, manifest: Any, _key: Any) -> None:
    """Write no archive; what is reported then is not there."""
    manifest.write()


def add_future_archives(_repository: Any, manifest: Any, _key: Any) -> None:
    """Claim five hundred archives of the year 2099."""
    for number in range(500):
        manifest.archives[f"future-{number}"] = (os.urandom(32), datetime(2099, 1, 1, 0, 0, number % 60))  # noqa: DTZ001 - Borg's own are naive
    manifest.write()


def send_garbage(repository: Any, _manifest: Any, _key: Any) -> None:
    """Send what no key wrote."""
    for _ in range(5):
        repository.put(os.urandom(32), os.urandom(500))


def fill(repository: Any, _manifest: Any, _key: Any) -> None:
    """Send and send, whatever is answered, and take it back in between; never commit."""
    from borg.repository import Repository

    refused = 0
    for number in range(300):
        if number in (120, 240):
            repository.rollback()
        try:
            repository.put(os.urandom(32), b"\x05" + os.urandom(100_000))
        except Repository.StorageQuotaExceeded:
            refused += 1
    os._exit(0 if refused > 150 else 1)


def fill_for_good(repository: Any, _manifest: Any, _key: Any) -> None:
    """Send, and commit, until there is no room left."""
    from borg.repository import Repository

    for _ in range(100):
        try:
            for _one in range(3):
                repository.put(os.urandom(32), b"\x05" + os.urandom(100_000))
            repository.commit(compact=True)
        except Repository.StorageQuotaExceeded:
            os._exit(0)
    os._exit(1)


def replay(repository: Any, _manifest: Any, _key: Any) -> None:
    """Send what was sent before under other names."""
    for key in _objects(repository)[:5]:
        repository.put(os.urandom(32), repository.get(key))


def _id_of(archive: str) -> bytes:
    return hashlib.sha256(archive.encode()).digest()


def _objects(repository: Any) -> list[bytes]:
    return [key for key in repository.list(limit=100_000) if key != b"\0" * 32]


ATTACKS = {
    action.__name__: action
    for action in (
        forget_archives,
        delete_archives,
        delete_the_manifest,
        delete_everything,
        delete_contents,
        overwrite,
        put_one_in_the_place_of_another,
        claim_an_archive,
        add_future_archives,
        send_garbage,
        fill,
        fill_for_good,
        replay,
    )
}

if __name__ == "__main__":
    main(sys.argv[1])
