"""Sealed names on the pages: the offer to unlock, and the files as soon as they are open."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import zlib
from typing import TYPE_CHECKING

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos.agent.listing_seal import Seal
from saveos.protocol import ESCROW_INFO, AgentId, EscrowContents, ListingPart
from saveos.repositories import sealing, table_keys
from saveos.repositories.keyholding import CODE_SUITE
from saveos.repositories.model import Purpose
from saveos.snapshots import catalogue_files as files
from saveos.snapshots import table_listings
from saveos.tenants import kits, recovery, users
from saveos.ui import unlock
from saveos.ui.grid import Grid
from tests.support.catalogues import World
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from saveos.parts import Parts

HOST = AgentId("agt_web-01")
PASSPHRASE = "sesame"
LISTING = b"srv\0d 0 ? 755 0\nsrv\x01plan.odt\0f 5000 1760000000000 644 0\n"
LATER = b"srv\x01new.odt\0f 7 1765000000000 644 0\n"
OFFER = "Unlock to browse"


class House:
    """An appliance with a host whose names are sealed, two snapshots, and the recovery code of its key."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.principal, _cookie = board.sign_in(parts)
        tenant = users.default_tenant(parts.database)
        with sqlite3.connect(parts.settings.database) as connection:
            connection.execute("UPDATE tenants SET names = 'sealed'")
            connection.execute(
                "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, retention_json,"
                " compression, created_at) VALUES (?, ?, 'p', '[]', '[]', '', '{}', 'lz4', '2026-01-01T00:00:00Z')",
                (f"pol_{tenant}", tenant),
            )
        self.world = World(parts.settings, parts.database, tenant)
        self.world.add_host("web-01")
        self._seal_key(tenant)
        self.first, archive = self._back_up(LISTING, "")
        self.second, _archive = self._back_up(LATER, archive)

    def _seal_key(self, tenant: str) -> None:
        self.code, public_key = recovery.create()
        kits.rotate(self.parts.database, self.principal, sealing.as_text(public_key), recovery.check_of(self.code))
        contents = EscrowContents(
            passphrase=PASSPHRASE, key_export="", repository_id="", agent_id=HOST, hostname="web-01"
        )
        public = X25519PublicKey.from_public_bytes(public_key)
        raw = sealing.SUITE.encrypt(msgspec.json.encode(contents), public, ESCROW_INFO + HOST.encode())

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO repositories (id, tenant_id, agent_id, state, created_at)"
                " VALUES ('rep_1', ?, ?, 'ready', '2026-01-01T00:00:00.000000Z')",
                (tenant, HOST),
            )
            table_keys.put(connection, HOST, public_key, Purpose.RECOVERY, base64.b64encode(raw).decode())

        self.parts.database.write(write)

    def _back_up(self, lines: bytes, base: str) -> tuple[str, str]:
        """Keep a listing as it comes from a host that seals names."""
        snapshot, archive = self.world.add_snapshot(HOST)
        plain = ListingPart(archive=archive, base=base, is_last=True, data=zlib.compress(lines))
        folder = files.sealed(self.parts.settings, self.world.tenant, HOST) / snapshot
        folder.mkdir(parents=True)
        (folder / files.part_name(0)).write_bytes(Seal(PASSPHRASE.encode()).close(plain).data)
        values = {"snapshot_id": snapshot, "tenant_id": self.world.tenant, "agent_id": HOST}
        listing = {**values, "state": "sealed", "base": base, "message": ""}
        self.parts.database.write(lambda connection: table_listings.insert(connection, listing))
        return snapshot, archive

    def visit(self, path: str, journey: Callable[[Hands], Awaitable[None]]) -> None:
        async def go() -> None:
            await self.parts.unsealing.start()
            async with board.visitor(self.parts, board.sign_in(self.parts)[1]) as user:
                await user.open(path)
                try:
                    await journey(Hands(user))
                finally:
                    await self.parts.unlocks.stop()
                    await self.parts.unsealing.stop()

        asyncio.run(go())

    async def unlock(self, hands: Hands) -> None:
        """Type the recovery code into the dialog that the offer opens."""
        await hands.until(lambda: OFFER in hands.texts, "the offer")
        hands.press(OFFER)
        offer = await self.parts.unlocks.offer(self.principal)
        public = X25519PublicKey.from_public_bytes(base64.b64decode(offer.public_key))
        code = base64.b64encode(CODE_SUITE.encrypt(self.code.encode(), public, offer.info.encode())).decode()
        form = next(element for element in hands.elements if isinstance(element, unlock._Form))
        hands._emit(form, "sealed", {"unlock_id": offer.unlock_id, "sealed_code": code, "minutes": 15})


def rows(hands: Hands) -> list[str]:
    grids = [element for element in hands.elements if isinstance(element, Grid) and element.rows]
    return [row.cells[next(iter(row.cells))].text for grid in grids for row in grid.rows]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with board.appliance(tmp_path / "sealed") as parts:
        yield House(parts)


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("/snapshots/{second}/files?path=srv", ["new.odt", "plan.odt"]),
        ("/snapshots/{second}/changes", ["new.odt"]),
        ("/search?q=plan", ["plan.odt"]),
        ("/agents/agt_web-01/versions?path=srv/plan.odt", ["9 Oct 2025"]),
    ],
)
def test_sealed_page_offers_to_unlock_and_shows_what_is_open(house: House, page: str, shown: list[str]) -> None:
    async def journey(hands: Hands) -> None:
        await house.unlock(hands)
        await hands.until(lambda: len(rows(hands)) == len(shown), "what is open")
        assert all(row.startswith(expected) for row, expected in zip(rows(hands), shown, strict=True)), rows(hands)
        assert OFFER not in hands.texts

    house.visit(page.format(second=house.second), journey)


def test_page_of_files_is_sealed_again_once_its_host_is_locked(house: House) -> None:
    async def journey(hands: Hands) -> None:
        await house.unlock(hands)
        await hands.until(lambda: rows(hands) == ["srv"], "what is open")
        hands.press("Lock now")
        await hands.until(lambda: not house.parts.unlocks.current(house.principal), "the lock")
        await hands.user.open(f"/snapshots/{house.second}/files")
        await hands.read("The names of the files of web-01 are sealed")
        assert [] == rows(hands)

    house.visit(f"/snapshots/{house.second}/files", journey)


def test_viewer_reads_that_names_are_sealed_and_is_offered_nothing(house: House) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("The names of the files of web-01 are sealed")
        assert OFFER not in hands.texts

    with sqlite3.connect(house.parts.settings.database) as connection:
        connection.execute("UPDATE users SET role = 'viewer'")

    house.visit(f"/snapshots/{house.second}/files", journey)
