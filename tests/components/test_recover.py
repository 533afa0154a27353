"""What comes back from a self-backup: all of it, of the newest whole one, for the right kit alone."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos import clock
from saveos.certificates import authority
from saveos.database import secrets
from saveos.database.connection import copy_whole
from saveos.database.secrets import Secret
from saveos.errors import (
    CertificateError,
    Conflict,
    DatabaseDamaged,
    OtherKit,
    SelfBackupAltered,
    SelfBackupMissing,
    Unavailable,
)
from saveos.protocol import ESCROW_INFO, EscrowContents
from saveos.repositories import labels
from saveos.repositories.sealing import SUITE
from saveos.repositories.table import repository_path
from saveos.selfbackup.places import Shelf
from saveos.tenants import recovery
from tests.support.agent import stock_borg
from tests.support.offsite import PASSPHRASE, TENANT, Copying
from tests.support.selfbackup import Burning, modes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def burning(tmp_path: Path) -> Burning:
    return Burning.made(tmp_path / "appliance")


@pytest.fixture(autouse=True)
def later() -> Iterator[None]:
    """Let a minute pass with each look at the clock: two self-backups of one second have no order."""
    moments = iter(range(10**6))
    clock.set_source(lambda: datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=next(moments)))
    yield
    clock.set_source(None)


def nothing_came(burning: Burning) -> bool:
    return not any(path for path in burning.folder.iterdir() if "back" in path.name)


def test_all_of_it_comes_back_for_its_owner_alone(burning: Burning) -> None:
    column_key = burning.copying.world.settings.column_key
    sealed = secrets.seal(column_key, Secret("of a store"), "row")
    fingerprint = authority.open_authority(burning.data / "authority").fingerprint
    burning.back_up()

    done = burning.recover(root=fingerprint.lower())

    back = burning.back
    assert fingerprint == done.fingerprint == authority.open_authority(back.authority).fingerprint
    assert Secret("of a store") == secrets.unseal(back.column_key, sealed, "row")
    assert (burning.data / "saveos.toml").read_bytes() == (back.folder / "saveos.toml").read_bytes()
    assert [("agt_atelier", "atelier")] == burning.rows("SELECT id, hostname FROM agents")
    assert (1, ("ten_1",), ("atelier",)) == (done.inventory.hosts_count, done.inventory.tenants, done.inventory.away)
    assert {"d 700", "f 600"} == modes(back.folder)
    assert not (back.folder / "authority" / "server.key").exists()
    assert {"back", "data", "trees"} == {path.name for path in burning.folder.iterdir()}


def test_what_is_kept_here_is_for_its_owner_alone_and_whole(burning: Burning) -> None:
    made = burning.back_up()

    assert {"d 700", "f 600"} == modes(burning.data / "self")
    assert [made.path] == burning.copies
    assert not list(burning.data.glob("*.part*"))
    assert burning.code.encode() not in made.path.read_bytes()
    assert b"SQLite format" not in made.path.read_bytes()


def test_damaged_database_is_not_backed_up(burning: Burning) -> None:
    burning.copying.world.database.close()
    content = bytearray(burning.copying.world.settings.database.read_bytes())
    for place in range(4096 * 3, len(content), 4096):
        content[place : place + 200] = bytes(200)
    burning.copying.world.settings.database.write_bytes(content)

    with pytest.raises((DatabaseDamaged, Unavailable)):
        burning.back_up()

    assert [] == burning.copies


def test_former_life_is_over(burning: Burning) -> None:
    world = burning.copying.world
    world.add_snapshot("agt_atelier")
    for number, (kind, state) in enumerate(
        [("backup", "queued"), ("restore", "queued"), ("compact", "running"), ("backup", "running")]
    ):
        burning.sql(
            "INSERT INTO jobs (id, tenant_id, agent_id, kind, runs_on, state, order_json, not_before, requested_by,"
            " requested_at) VALUES (?, 'ten_1', 'agt_atelier', ?, 'host', ?, '{}', '', '', '')",
            f"job_x{number}",
            kind,
            state,
        )
    burning.sql("INSERT INTO users VALUES ('usr_1','ten_1','a@b','','administrator','','',0,'','','')")
    burning.sql("INSERT INTO sessions VALUES ('hash','usr_1','','','','')")
    burning.sql(
        "INSERT INTO provisionings (id, tenant_id, hostname, platform, policy_id, prefix, secret_hash, created_by,"
        " created_at, expires_at) VALUES ('prv_1','ten_1','new','linux','pol_ten_1','','','','','')"
    )
    burning.sql("INSERT INTO facts VALUES ('appliance-id', 'apl_former')")
    burning.sql("INSERT INTO facts VALUES ('moved', 'elsewhere:8000')")
    burning.sql("UPDATE agents SET addresses_serial = 99")
    burning.sql("UPDATE repositories SET upkeep_job = 'job_x2', generation = 3, manifest_bytes = 5000")
    made = burning.back_up()

    burning.recover()

    states = dict(burning.rows("SELECT id, state || ' ' || error_code FROM jobs WHERE id LIKE 'job_x%'"))
    assert {"job_x0": "queued ", "job_x1": "failed lost", "job_x2": "failed lost", "job_x3": "failed lost"} == states
    assert [(0,)] == burning.rows("SELECT count(*) FROM sessions")
    assert [(1,)] == burning.rows("SELECT count(*) FROM provisionings WHERE withdrawn_at IS NOT NULL")
    assert [(1,)] == burning.rows("SELECT count(*) FROM users")
    [(appliance_id,)] = burning.rows("SELECT value FROM facts WHERE name = 'appliance-id'")
    assert "apl_former" != appliance_id
    [(generation, *others)] = burning.rows(
        "SELECT generation, upkeep_job, manifest_bytes, away_at IS NOT NULL FROM repositories"
    )
    assert generation > 3
    assert [] == burning.rows("SELECT value FROM facts WHERE name = 'moved'")
    [(told,)] = burning.rows("SELECT value FROM facts WHERE name = 'addresses-told'")
    assert json.loads(told)["serial"] > 99
    assert ["", 0, 1] == others
    alerts = burning.rows("SELECT kind, json_extract(evidence_json, '$.made_at') FROM alerts WHERE cleared_at IS NULL")
    assert [("recovered", clock.to_text(made.named.made_at))] == alerts


def test_folder_that_is_not_empty_stays_as_it_is(burning: Burning) -> None:
    burning.back_up()
    burning.back.folder.mkdir()
    (burning.back.folder / "mine").write_text("mine")

    with pytest.raises(Conflict):
        burning.recover()

    assert ["mine"] == [path.name for path in burning.back.folder.iterdir()]


def test_empty_folder_is_filled(burning: Burning) -> None:
    burning.back_up()
    burning.back.folder.mkdir()

    burning.recover()

    assert burning.back.database.exists()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip])
def test_newest_whole_one_is_taken(burning: Burning, harm: Callable[[Path], None]) -> None:
    first = burning.back_up()
    burning.sql("UPDATE agents SET hostname = 'renamed'")
    second = burning.back_up()
    harm(second.path)

    done = burning.recover()

    assert (first.path.name, (second.path.name,)) == (done.name, done.passed_over)
    assert [("atelier",)] == burning.rows("SELECT hostname FROM agents")


@pytest.mark.parametrize("harm", [cut, flip])
def test_nothing_comes_from_an_altered_one(burning: Burning, harm: Callable[[Path], None]) -> None:
    harm(burning.back_up().path)

    with pytest.raises(SelfBackupAltered):
        burning.recover()

    assert nothing_came(burning)


def test_altered_one_under_its_new_hash_is_refused_too(burning: Burning) -> None:
    """Whoever renames a file to fit does not fool the seal."""
    path = burning.back_up().path
    flip(path)
    path.rename(path.with_name(f"20260301T000000Z-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.saveos"))

    with pytest.raises(SelfBackupAltered):
        burning.recover()


def test_moment_and_name_choose(burning: Burning) -> None:
    first, second = burning.back_up(), burning.back_up()

    assert first.path.name == burning.recover(at=f"{first.named.made_at:%Y-%m-%dT%H:%M}").name
    shutil.rmtree(burning.back.folder)
    assert first.path.name == burning.recover(at=first.path.name).name
    shutil.rmtree(burning.back.folder)
    assert second.path.name == burning.recover().name
    shutil.rmtree(burning.back.folder)
    with pytest.raises(SelfBackupMissing):
        burning.recover(at="2020-01-01T00:00")


def test_file_of_any_name_is_taken(burning: Burning) -> None:
    made = burning.back_up()
    mailed = made.path.rename(burning.folder / "from the mail")

    assert made.path.name == burning.recover(Shelf(mailed)).name


def test_kit_of_another_opens_nothing(burning: Burning) -> None:
    burning.back_up()
    code, public = recovery.create()
    burning.sql("INSERT INTO tenants (id, name, created_at, recovery_public_key) VALUES ('ten_2','B','9999',?)", public)
    burning.back_up()

    with pytest.raises(OtherKit):
        burning.recover(code=code)

    assert nothing_came(burning)


def test_former_kit_opens_what_was_sealed_to_it(burning: Burning) -> None:
    first = burning.back_up()
    former = burning.use_kit()
    burning.back_up()

    with pytest.raises(OtherKit, match=first.path.name):
        burning.recover(code=former)
    assert first.path.name == burning.recover(code=former, at=first.path.name).name


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped"),
        member("/escaped"),
        member("authority/../../escaped"),
        member("repositories/x"),
        member("keys/.hidden"),
        member("authority/link", tarfile.SYMTYPE, "/etc"),
        member("saveos.db", tarfile.LNKTYPE, "/etc/passwd"),
        member("keys/device", tarfile.CHRTYPE),
        member("keys", tarfile.DIRTYPE),
    ],
    ids=lambda bad: f"{bad.name} {bad.type!r}",
)
def test_sealed_by_a_stranger_escapes_nowhere(burning: Burning, bad: tarfile.TarInfo) -> None:
    burning.put_forged((bad, b""))

    with pytest.raises(SelfBackupAltered):
        burning.recover()

    assert nothing_came(burning)
    assert not (burning.folder / "escaped").exists()


@pytest.mark.parametrize("plain", [b"", b"no archive", b"\x1f\x8b" + bytes(100)])
def test_sealed_rubbish_is_refused(burning: Burning, plain: bytes) -> None:
    burning.put_sealed(plain)

    with pytest.raises(SelfBackupAltered):
        burning.recover()


def contents(burning: Burning) -> list[tuple[tarfile.TarInfo, bytes]]:
    """Return what a stranger could put together who has the database, and of the authority what everybody has."""
    path = burning.folder / "stolen.db"
    copy_whole(burning.copying.world.settings.database, path)
    files = {"saveos.db": path.read_bytes()}
    for known in (burning.data / "authority").glob("*"):
        files[f"authority/{known.name}"] = known.read_bytes()
    return [(member(name), content) for name, content in files.items()]


def test_authority_without_its_key_is_refused(burning: Burning, tmp_path: Path) -> None:
    other = authority.open_authority(tmp_path / "other").folder
    forged = [
        (info, (other / "root.key").read_bytes() if info.name == "authority/root.key" else content)
        for info, content in contents(burning)
    ]
    burning.put_forged(*forged)

    with pytest.raises(CertificateError):
        burning.recover()

    assert nothing_came(burning)


def test_other_root_than_the_one_on_the_kit_is_refused(burning: Burning) -> None:
    burning.back_up()

    with pytest.raises(SelfBackupAltered, match="fingerprint"):
        burning.recover(root="AB:" * 31 + "AB")

    assert nothing_came(burning)


def test_damaged_database_is_refused(burning: Burning) -> None:
    forged = [
        (info, content[:8192] + bytes(len(content) - 8192) if info.name == "saveos.db" else content)
        for info, content in contents(burning)
    ]
    burning.put_forged(*forged)

    with pytest.raises(DatabaseDamaged):
        burning.recover()


def test_newer_database_is_refused(burning: Burning) -> None:
    burning.sql(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('saveos', 'm999_newer', '2999')"
    )
    burning.back_up()

    with pytest.raises(Unavailable, match="newer"):
        burning.recover()


def test_repositories_that_are_left_are_taken_with_nonces_that_were_never_used(burning: Burning) -> None:
    copying = burning.copying
    copying.back_up()
    burning.back_up()
    kept = burning.folder / "kept" / "anywhere"
    shutil.copytree(copying.repository, kept)
    copying.back_up()  # the copy does not have this one
    used = int((copying.repository / "nonce").read_text(), 16)

    done = burning.recover(repositories=kept.parent)

    back = repository_path(burning.back, TENANT, copying.agent_id)
    assert ((), 1) == (done.inventory.away, done.inventory.here_count)
    assert [(None,)] == burning.rows("SELECT away_at FROM repositories")
    assert used < int((back / "nonce").read_text(), 16)
    assert (kept / "data" / "0" / "1").stat().st_ino == (back / "data" / "0" / "1").stat().st_ino  # the same disk
    done_by_borg = stock_borg(back, PASSPHRASE, burning.folder / "home", "create", "::more", ".", folder=copying.tree)
    assert done_by_borg.returncode in (0, 1), done_by_borg.stderr
    assert 0 == stock_borg(back, PASSPHRASE, burning.folder / "home", "check", "--verify-data").returncode
    assert 0 == stock_borg(kept, PASSPHRASE, burning.folder / "home 2", "check", "--verify-data").returncode


def test_strange_repositories_are_named_and_left(burning: Burning, tmp_path: Path) -> None:
    burning.back_up()
    stranger = Copying.made(tmp_path / "stranger")
    stranger.back_up()

    done = burning.recover(repositories=tmp_path / "stranger" / "data" / "repositories")

    assert (("atelier",), (str(stranger.repository),)) == (done.inventory.away, done.strange)


def test_commands_say_one_line_and_their_codes(burning: Burning) -> None:
    made = burning.back_up()
    folder = str(burning.data / "self")
    code, _public = recovery.create()

    listed = burning.command("recover", "--from", folder, "--list")
    mistyped = burning.command("recover", "--from", folder, stdin="AAAA\n")
    other = burning.command("recover", "--from", folder, stdin=code)
    missing = burning.command("recover", "--from", str(burning.folder / "nowhere"), stdin=burning.code)
    nothing_there = burning.command("recover", "--bucket", "x" * 5, "--endpoint", "http://127.0.0.1:9", "--key-id", "A",
                                    stdin=f"{burning.code}\nsecret\n")  # fmt: skip
    good = burning.command("recover", "--from", folder, stdin=burning.code.lower().replace("-", " "))
    again = burning.command("recover", "--from", folder, stdin=burning.code)

    assert [{"name": made.path.name, "bytes": made.bytes}] == json.loads(listed.stdout)
    for done, expected in ((mistyped, 2), (other, 12), (missing, 10), (nothing_there, 13), (again, 1)):
        assert expected == done.returncode, (done.stdout, done.stderr)
        assert done.stderr.strip().splitlines()[-1].startswith("saveos: ")
        assert "Traceback" not in done.stderr
    assert 3 == good.returncode, good.stderr  # the repository is neither here nor in a copy
    assert ["atelier"] == json.loads(good.stdout)["inventory"]["away"]
    for done in (listed, mistyped, other, missing, nothing_there, good, again):
        assert burning.code not in done.stdout + done.stderr
        assert "secret\n" not in done.stdout + done.stderr


def test_adopt_lists_and_opens_what_a_label_knows(burning: Burning) -> None:
    copying = burning.copying
    copying.back_up()
    key = EscrowContents(
        agent_id=copying.agent_id,
        hostname="atelier",
        repository_id=copying.borg_id,
        passphrase=PASSPHRASE,
        key_export="key",
    )
    contents = msgspec.json.encode(key)
    public = burning.key.public_key()
    sealed = base64.b64encode(SUITE.encrypt(contents, public, ESCROW_INFO + copying.agent_id.encode())).decode()
    burning.sql("INSERT INTO seals VALUES ('agt_atelier', ?, 'recovery', ?, '')", public.public_bytes_raw(), sealed)

    assert 1 == labels.refresh(copying.world.database, copying.world.settings)
    assert 0 == labels.refresh(copying.world.database, copying.world.settings)

    folder = str(burning.data / "repositories")
    [found] = json.loads(burning.command("adopt", folder).stdout)
    assert ("atelier", copying.borg_id) == (found["label"]["hostname"], found["repository_id"])
    assert 0o600 == labels.place(copying.repository).stat().st_mode & 0o777
    opened = burning.command("adopt", folder, "--open", "atelier", stdin=burning.code)
    assert PASSPHRASE == json.loads(opened.stdout)["passphrase"]
    assert 12 == burning.command("adopt", folder, "--open", "atelier", stdin=recovery.create()[0]).returncode
    assert 2 == burning.command("adopt", folder, "--open", "nobody", stdin=burning.code).returncode
    assert not burning.back.folder.exists()


@pytest.mark.parametrize("manual", ["recovery.md", "recovery.fr.md"])
def test_manual_opens_one_without_us(burning: Burning, manual: str) -> None:
    made = burning.back_up()
    text = (Path(__file__).parents[2] / "docs" / manual).read_text()
    script = next(part for part in text.split("```python\n") if "self-backup v1" in part).split("```")[0]
    (burning.folder / "open.py").write_text(script)

    words = [sys.executable, str(burning.folder / "open.py"), str(made.path)]
    done = subprocess.run(words, input=burning.code.encode(), capture_output=True, check=True)

    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        names = set(tar.getnames())
    assert {"saveos.db", "saveos.toml", "authority/root.key", "authority/trust.pem", "keys/managed.key"} <= names
    assert "authority/server.key" not in names
