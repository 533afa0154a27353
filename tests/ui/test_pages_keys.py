"""Keys on the pages: who holds a host's, the unlock dialog, the banner, and the reminder of the recovery kit."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos import clock
from saveos.agents import enrolment
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.protocol import ESCROW_INFO, AgentId, EscrowContents
from saveos.repositories import sealing, table_keys
from saveos.repositories.keyholding import CODE_SUITE
from saveos.repositories.model import Purpose
from saveos.snapshots import listing, restore
from saveos.snapshots.model import SnapshotChoice
from saveos.tenants import kits, recovery
from saveos.ui import unlock
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.jobs.model import Job
    from saveos.parts import Parts

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("keys")) as made:
        plant(made.settings.database, 3, 1)
        yield made


@pytest.fixture(scope="module")
def agent_id(parts: Parts) -> str:
    with sqlite3.connect(parts.settings.database) as connection:
        found: tuple[str] = connection.execute("SELECT id FROM agents WHERE state = 'ready' LIMIT 1").fetchone()
        row = "INSERT OR IGNORE INTO repositories (id, tenant_id, agent_id, state, created_at)"
        connection.execute(f"{row} SELECT 'rep_1', tenant_id, id, 'ready', enrolled_at FROM agents WHERE id = ?", found)
        return found[0]


@pytest.fixture(scope="module")
def code(parts: Parts, agent_id: str) -> str:
    """The code of a kit to which a host has sealed its key."""
    made, public_key = recovery.create()
    principal, _cookie = board.sign_in(parts)
    kits.rotate(parts.database, principal, sealing.as_text(public_key), recovery.check_of(made))
    contents = EscrowContents(
        passphrase="secret", key_export="", repository_id="", agent_id=AgentId(agent_id), hostname="host"
    )
    public = X25519PublicKey.from_public_bytes(public_key)
    raw = sealing.SUITE.encrypt(msgspec.json.encode(contents), public, ESCROW_INFO + agent_id.encode())
    sealed = base64.b64encode(raw).decode()
    parts.database.write(
        lambda connection: table_keys.put(connection, AgentId(agent_id), public_key, Purpose.RECOVERY, sealed)
    )
    return made


def visit(parts: Parts, path: str, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open(path)
            try:
                await journey(Hands(user))
            finally:
                await parts.unlocks.stop()

    asyncio.run(go())


async def type_code(parts: Parts, hands: Hands, code: str) -> None:
    """Type the recovery code into the dialog that is open."""
    principal, _cookie = board.sign_in(parts)
    offer = await parts.unlocks.offer(principal)
    public = X25519PublicKey.from_public_bytes(base64.b64decode(offer.public_key))
    sealed = base64.b64encode(CODE_SUITE.encrypt(code.encode(), public, offer.info.encode())).decode()
    form = next(element for element in hands.elements if isinstance(element, unlock._Form))
    hands._emit(form, "sealed", {"unlock_id": offer.unlock_id, "sealed_code": sealed, "minutes": 15})


def be_seen(parts: Parts, agent_id: str, moment: datetime) -> None:
    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute("UPDATE agents SET seen_at = ? WHERE id = ?", (clock.to_text(moment), agent_id))


def ended(parts: Parts, agent_id: str, other_id: str, state: State, *, dry_run: bool) -> Job:
    """A restore from one host onto another that was there to lend its key."""
    principal, _cookie = board.sign_in(parts)
    snapshot = listing.look(parts.database, principal, SnapshotChoice(agent_id=agent_id)).snapshots[0]
    be_seen(parts, agent_id, clock.now())
    job = restore.request(
        parts.database, principal, snapshot.id, ["srv"], "/srv/back", dry_run=dry_run, onto_agent_id=other_id
    )
    parts.database.write(lambda connection: jobs.end(connection, job.id, state, "", "", 0))
    be_seen(parts, agent_id, LONG_AGO)
    return job


def test_key_is_given_to_the_appliance_and_taken_back(parts: Parts, agent_id: str) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("Sealed: only the recovery code")
        hands.press("Let the appliance manage the key")
        await hands.read("From then on, the appliance and whoever")
        hands.press("Let the appliance manage the key")
        await hands.read("Managed: the appliance", "has not handed its key over yet")
        hands.press("Seal the key again")
        await hands.read("deletes its copy")
        hands.press("Seal the key again")
        await hands.read("Sealed: only the recovery code", "This key was managed once")

    visit(parts, f"/agents/{agent_id}", journey)


def test_sealed_code_unlocks_and_every_page_says_so_until_it_is_locked(parts: Parts, agent_id: str, code: str) -> None:
    principal, _cookie = board.sign_in(parts)

    async def journey(hands: Hands) -> None:
        hands.press("Unlock")
        await type_code(parts, hands, code)
        await hands.read("A host is unlocked for 15 minutes more.")
        assert [agent_id] == [each for found in parts.unlocks.current(principal) for each in found.agent_ids]
        assert "Unlock" not in hands.texts
        hands.press("Lock now")
        await hands.until(lambda: "Lock now" not in hands.texts, "the banner to go")
        assert [] == parts.unlocks.current(principal)

    visit(parts, f"/agents/{agent_id}", journey)


def test_restore_onto_another_host_asks_for_the_code_and_begins_once_it_is_unlocked(
    parts: Parts, agent_id: str, code: str
) -> None:
    principal, _cookie = board.sign_in(parts)
    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute("UPDATE agents SET seen_at = '2026-01-01T00:00:00.000000Z' WHERE id = ?", (agent_id,))
        newest = "SELECT id FROM snapshots WHERE agent_id = ? ORDER BY id DESC LIMIT 1"
        (snapshot_id,) = connection.execute(newest, (agent_id,)).fetchone()
        (other_id,) = connection.execute(
            "SELECT id FROM agents WHERE state = 'ready' AND id <> ? LIMIT 1", (agent_id,)
        ).fetchone()

    def queued() -> list[Job]:
        return jobs.find(parts.database.read, principal.tenant_id, {"kind": "restore"}, 100)

    async def journey(hands: Hands) -> None:
        hands.press("Restore…")
        hands.choose("On which host", other_id)
        hands.type("Folder on the host", "/srv/back")
        hands.press("Restore")
        await hands.read("For the minutes you choose, the appliance can read")
        assert [] == queued()
        await type_code(parts, hands, code)
        await hands.until(queued, "the restore to be asked for")

    visit(parts, f"/snapshots/{snapshot_id}", journey)

    (job,) = queued()
    assert (other_id, agent_id) == (job.agent_id, job.order["restore"]["lender"]["agent_id"])


@pytest.mark.parametrize(
    ("page", "is_tried"), [("/jobs/{job}", True), ("/jobs/{job}", False), ("/jobs", False), ("/agents/{other}", False)]
)
def test_restore_is_done_again_once_the_key_that_was_locked_meanwhile_is_unlocked(
    parts: Parts, agent_id: str, code: str, page: str, *, is_tried: bool
) -> None:
    principal, _cookie = board.sign_in(parts)
    other_id = next(each.id for each in enrolment.find(parts.database, principal) if each.id != agent_id)
    first = ended(parts, agent_id, other_id, State.DONE if is_tried else State.FAILED, dry_run=is_tried)
    order = {**first.order["restore"], "dry_run": False}

    def queued() -> list[Job]:
        found = jobs.find(parts.database.read, principal.tenant_id, {"kind": "restore", "state": "queued"}, 100)
        return [job for job in found if job.order["restore"] == order]

    async def journey(hands: Hands) -> None:
        if "{job}" in page:
            await hands.until(lambda: {"Restore now", "Try again"} & set(hands.texts), "the button")
            hands.press("Restore now" if is_tried else "Try again")
        else:
            await hands.until(hands.grid_texts, "the jobs")
            hands.act(first.id, "retry")
        await hands.read("For the minutes you choose, the appliance can read")
        assert [] == queued()
        await type_code(parts, hands, code)
        await hands.until(queued, "the restore to be asked for")

    visit(parts, page.format(job=first.id, other=other_id), journey)


def test_viewer_sees_who_holds_the_key_and_cannot_change_it(parts: Parts, agent_id: str) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("Sealed: only the recovery code")
        assert not {"Unlock", "Let the appliance manage the key"} & set(hands.texts)

    with sqlite3.connect(parts.settings.database) as connection:
        connection.execute("UPDATE users SET role = 'viewer'")
    try:
        visit(parts, f"/agents/{agent_id}", journey)
    finally:
        with sqlite3.connect(parts.settings.database) as connection:
            connection.execute("UPDATE users SET role = 'administrator'")


def test_overview_asks_for_the_kit_until_it_is_confirmed(parts: Parts, code: str) -> None:
    principal, _cookie = board.sign_in(parts)

    async def journey(hands: Hands) -> None:
        await hands.read("Nobody has confirmed that the recovery kit is at hand")
        link = next(element for element in hands.elements if getattr(element, "text", "") == "Confirm the kit")
        assert link.props["href"] == "/recovery-kit"
        parts.database.write(lambda connection: kits.note_proof(connection, principal, b"k" * 32))
        await hands.until(lambda: "Confirm the kit" not in hands.texts, "the reminder to go")

    kits.rotate(parts.database, principal, base64.b64encode(b"k" * 32).decode(), recovery.check_of(code))
    visit(parts, "/", journey)
