"""Offsite copies on the pages: a store chosen and tested in the form, how copies stand, and the way back."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.identity.principals import Role
from saveos.offsite import stores, table, table_states, watching
from saveos.offsite.model import Generation, LockMode
from saveos.protocol import Kind
from tests.support.big_fleet import plant
from tests.support.s3 import SECRET
from tests.ui import board
from tests.ui.hands import Hands
from tests.ui.test_pages import become

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from saveos.parts import Parts
    from tests.support.s3 import Weed


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    """An appliance with three hosts and no store."""
    with board.appliance(tmp_path) as made:
        plant(made.settings.database, 3, 1)
        with sqlite3.connect(made.settings.database) as connection:
            connection.execute("UPDATE snapshots SET ended_at = ?", (clock.to_text(clock.now()),))
            connection.execute(
                "INSERT OR IGNORE INTO repositories (id, tenant_id, agent_id, state, created_at)"
                " SELECT 'rep_' || id, tenant_id, id, 'ready', enrolled_at FROM agents"
            )
        yield made


def visit(parts: Parts, address: str, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open(address)
            await journey(Hands(user))

    asyncio.run(go())


def host_of(parts: Parts) -> tuple[str, str, str]:
    row = parts.database.read.execute(
        "SELECT a.id, a.hostname, a.tenant_id FROM agents a JOIN snapshots s ON s.agent_id = a.id"
        " WHERE a.state = 'ready' LIMIT 1"
    ).fetchone()
    return row["id"], row["hostname"], row["tenant_id"]


def choose(parts: Parts, s3: Weed) -> str:
    principal, _cookie = board.sign_in(parts)
    return stores.keep_store(parts.database, parts.settings, principal, s3.place(s3.bucket()), SECRET).id


def test_store_is_tested_and_chosen_in_the_form(parts: Parts, s3: Weed) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("There is no second copy yet.")
        hands.press("Save")
        await hands.read("An address that this appliance may use")
        hands.type("Endpoint", s3.endpoint)
        hands.type("Bucket", s3.bucket(is_locked=True))
        hands.type("Prefix", "pages/one")
        hands.type("Access key", "WRITER")
        hands.press("Test it")
        await hands.read("The secret is needed.")
        hands.type("Secret of the access key", "wrong")
        hands.press("Test it")
        await hands.read("Copies cannot be kept there.", "refused", "not tried")
        hands.type("Secret of the access key", SECRET.value)
        hands.press("Test it")
        await hands.read("it can lock", "Keep former versions")
        hands.tick("compliance")
        hands.type("Days to keep copies", "lots")
        hands.press("Save")
        await hands.read("A whole number of days")
        hands.type("Days to keep copies", "30")
        hands.type("Bytes per second at most", "a lot")
        hands.press("Save")
        await hands.read("This is no size.")
        assert any(element.tag == "details" and element.props.get("open") for element in hands.elements)
        hands.type("Bytes per second at most", "10 MB")
        hands.choose("Prices", "Backblaze B2")
        hands.press("Save")
        await hands.read(
            "not even this appliance can delete them", f"{s3.endpoint}/{s3.bucket(is_locked=True)}/pages/one"
        )

    visit(parts, "/offsite", journey)

    store = table.own_store(parts.database.read, None)
    assert store is not None
    place = store.place
    assert (LockMode.COMPLIANCE, 30, 10_000_000) == (place.lock_mode, place.keep_days, place.rate.bytes_per_second)
    assert place.prices is not None
    asked = parts.database.read.execute("SELECT count(*) FROM jobs WHERE kind = 'offsite'").fetchone()[0]
    assert asked == parts.database.read.execute("SELECT count(DISTINCT agent_id) FROM snapshots").fetchone()[0]


def test_page_says_that_copies_can_be_deleted_and_lets_the_store_go(parts: Parts, s3: Weed) -> None:
    choose(parts, s3)

    async def journey(hands: Hands) -> None:
        await hands.read("can be deleted by whoever holds the key")
        hands.press("Stop using this store")
        await hands.read("What lies there stays there")
        hands.press("Stop using this store")
        await hands.read("There is no second copy yet.")

    visit(parts, "/offsite", journey)

    assert table.own_store(parts.database.read, None) is None


def test_failed_copy_is_amber_everywhere_and_says_why(parts: Parts, s3: Weed) -> None:
    store = choose(parts, s3)
    agent, name, tenant = host_of(parts)
    failed = {"store_id": store, "error_code": "offsite-taken", "error_message": "Another appliance keeps its copies."}
    parts.database.write(lambda connection: table_states.set_state(connection, agent, tenant, **failed))
    parts.database.write(watching.tick)

    async def journey(hands: Hands) -> None:
        await hands.read("Another appliance keeps its copies under this prefix")
        await hands.until(lambda: "Copying failed" in hands.grid_texts())
        hands.press("Take the prefix over")
        await hands.read("From then on the other appliance is refused.")
        hands.press("Take the prefix over")
        await hands.user.open(f"/agents/{agent}")
        await hands.read("No offsite copy for too long", "The offsite copy does not keep up", "Another appliance keeps")
        await hands.user.open("/")
        await hands.until(lambda: {name, "No offsite copy for too long"} <= set(hands.grid_texts()))

    visit(parts, "/offsite", journey)


def test_host_is_copied_verified_and_brought_back_from_its_page(parts: Parts, s3: Weed) -> None:
    store = choose(parts, s3)
    agent, name, tenant = host_of(parts)
    now = clock.now()
    made = Generation(
        number=4,
        made_at=now,
        moment=7,
        life=0,
        bytes=2_000_000,
        segments_count=2,
        key="k",
        sha256="",
        snapshots_count=3,
    )
    copied = {"store_id": store, "generation": 4, "snapshot_at": clock.to_text(now), "bytes": 2_000_000}

    def write(connection: sqlite3.Connection) -> None:
        table.put_generation(connection, store, agent, made)
        table_states.set_state(connection, agent, tenant, **copied)
        connection.execute("DELETE FROM jobs WHERE kind = 'offsite'")
        connection.execute("UPDATE agents SET kinds = 'offsite-drill'")

    parts.database.write(write)
    asked = lambda kind: parts.database.read.execute("SELECT 1 FROM jobs WHERE kind LIKE ?", (kind,)).fetchall()  # noqa: E731

    async def journey(hands: Hands) -> None:
        await hands.read("Copied", "2.0\N{NO-BREAK SPACE}MB")
        hands.press("Copy now")
        hands.press("Verify all")
        await hands.until(lambda: len(asked("offsite%")) == 2)
        hands.press("Try a restore from it")
        await hands.until(lambda: asked("offsite-drill"))
        hands.act("4", "fetch")
        await hands.read(f"Bring {name} back from its copy")
        hands.type(f"Type {name} to confirm", name)
        hands.press("Bring back")
        await hands.until(lambda: asked("rehydrate"))

    visit(parts, f"/agents/{agent}", journey)

    kinds = {row[0] for row in parts.database.read.execute("SELECT kind FROM jobs WHERE agent_id = ?", (agent,))}
    assert {Kind.OFFSITE, Kind.OFFSITE_VERIFY, Kind.REHYDRATE} <= kinds


def test_viewer_sees_how_copies_stand_and_no_store(parts: Parts, s3: Weed) -> None:
    choose(parts, s3)
    become(parts, Role.VIEWER)
    _agent, name, _tenant = host_of(parts)

    async def journey(hands: Hands) -> None:
        await hands.until(lambda: name in hands.grid_texts())
        assert not any(text in hands.texts for text in ("Save", "Test it", "Endpoint"))

    visit(parts, "/offsite", journey)
