"""Moving house on the pages: further addresses, who knows them, and the banner of an appliance that has moved."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from saveos.agents import addresses, moving
from saveos.identity.principals import Role
from saveos.tenants import facts
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.parts import Parts

NEW, OTHER = "192.0.2.20:8000", "new.example.org:8000"


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("moving")) as made:
        plant(made.settings.database, 3, 1)
        addresses.keep_own(made.database, made.standing.addresses)
        yield made


def visit(parts: Parts, address: str, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open(address)
            await journey(Hands(user))

    asyncio.run(go())


def further(parts: Parts) -> tuple[str, ...]:
    return addresses.told(parts.database.read).further


def know(parts: Parts, count: int, serial: int) -> None:
    with sqlite3.connect(parts.settings.database, timeout=10) as connection:
        ids = "SELECT id FROM agents WHERE state <> 'revoked' ORDER BY id LIMIT ?"
        connection.execute(f"UPDATE agents SET addresses_serial = ? WHERE id IN ({ids})", (serial, count))
    connection.close()


def test_addresses_are_added_ordered_and_removed(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("Where hosts look for this appliance", "this appliance", "hosts know this list", "Not yet:")
        hands.type("Further address", "nowhere")
        hands.press("Add the address")
        await hands.read("This is no address")
        for address in (NEW, f" {OTHER.upper()} "):
            hands.type("Further address", address)
            hands.press("Add the address")
            await hands.until(lambda address=address: address.strip().lower() in hands.texts)
        assert (NEW, OTHER) == further(parts)
        hands.press(f"Further up: {OTHER}")
        await hands.until(lambda: further(parts) == (OTHER, NEW))
        hands.press(f"Remove: {NEW}")
        await hands.until(lambda: NEW not in hands.texts)
        assert (OTHER,) == further(parts)

    visit(parts, "/settings", journey)


def test_hosts_that_know_the_list_are_counted(parts: Parts) -> None:
    know(parts, 2, addresses.told(parts.database.read).serial)

    async def journey(hands: Hands) -> None:
        await hands.read("2 of 3 hosts know this list.")

    visit(parts, "/settings", journey)


def test_appliance_that_has_moved_says_so_everywhere_and_can_take_it_back(parts: Parts) -> None:
    principal, _cookie = board.sign_in(parts)
    moving.change(parts.database, principal, [NEW])

    async def leave(hands: Hands) -> None:
        await hands.until(lambda: NEW in hands.texts)
        hands.press(f"It has moved there: {NEW}")
        await hands.read(f"Hosts are sent to {NEW}")
        hands.press("Send hosts there")
        await hands.read(f"This appliance has moved to {NEW}")
        assert NEW == facts.moved_to(parts.database.read)

    async def come_back(hands: Hands) -> None:
        await hands.read(f"This appliance has moved to {NEW}")
        hands.press("Serve hosts here")
        await hands.until(lambda: not facts.moved_to(parts.database.read))

    visit(parts, "/settings", leave)
    visit(parts, "/", come_back)


def test_hosts_of_a_later_appliance_are_told_everywhere_to_everybody(parts: Parts) -> None:
    know(parts, 2, addresses.told(parts.database.read).serial + 1)
    with sqlite3.connect(parts.settings.database, timeout=10) as connection:
        connection.execute("UPDATE users SET role = ?", (Role.VIEWER.value,))
    connection.close()

    async def journey(hands: Hands) -> None:
        await hands.read("2 hosts follow a later state of this appliance")
        assert not {"Serve hosts here", "Add the address"} & set(hands.texts)

    visit(parts, "/jobs", journey)
