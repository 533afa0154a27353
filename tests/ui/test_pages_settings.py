"""/settings for the simulated user: names, language, limits, licences, and who may change."""

from __future__ import annotations

import asyncio
import sqlite3
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import saveos
from saveos import about
from saveos.certificates import issuance
from saveos.config import Origin
from saveos.ui.words import Words
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.parts import Parts

NAME = "backup.example.org"


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("settings")) as made:
        yield made


def visit(parts: Parts, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open("/settings")
            await journey(Hands(user))

    asyncio.run(go())


def kept(parts: Parts) -> dict[str, object]:
    file = parts.settings.folder / "saveos.toml"
    return tomllib.loads(file.read_text()) if file.exists() else {}


def test_name_is_added_certified_and_removed(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        hands.type("Further name or address", f" {NAME.upper()} ")
        hands.press("Add")
        await hands.read(NAME, "links and new hosts use it first")
        assert {"names": [NAME]} == kept(parts)
        await hands.until(lambda: NAME in issuance.server_certificate(parts.authority).names)
        await hands.until(lambda: any(text.startswith(f"{NAME}:8000") for text in hands.texts))
        await hands.until(lambda: "" == hands.field("Further name or address").props["value"])

        hands.press(f"Remove: {NAME}")
        await hands.until(lambda: NAME not in hands.texts)
        assert {"names": []} == kept(parts)
        await hands.until(lambda: NAME not in issuance.server_certificate(parts.authority).names)

    visit(parts, journey)


def test_name_that_is_none_is_told_and_outlives_another_language(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        hands.type("Further name or address", "no name!")
        hands.press("Add")
        await hands.read("This is neither a name nor an address.")
        hands.tick("fr")
        await hands.read("Réglages", "Autre nom ou adresse")
        assert "no name!" == hands.field("Autre nom ou adresse").props["value"]

    visit(parts, journey)
    assert {} == kept(parts)


def test_language_of_the_appliance_is_kept(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        hands.choose("Language of the appliance", "fr")
        await hands.until(lambda: kept(parts) == {"language": "fr"})
        assert parts.standing.language == "fr"

    visit(parts, journey)


def test_what_the_command_line_set_is_fixed(parts: Parts) -> None:
    parts.standing.origins.of["names"] = Origin.FLAG
    parts.standing.origins.of["language"] = Origin.ENVIRONMENT

    async def journey(hands: Hands) -> None:
        await hands.read("Set on the command line", "SAVEOS_LANGUAGE")
        assert "Further name or address" not in hands.texts
        assert "Language of the appliance" not in hands.texts

    visit(parts, journey)


def test_limits_disks_versions_and_licences_are_shown(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        cells = set(hands.grid_texts())
        assert {
            "Hosts that write at once",
            "8",
            Words("en").size(268_435_456),
            "12 hours",
            "as shipped",
            str(parts.settings.repositories),
        } <= cells
        assert {"litestar", "nicegui", "segno", "msgspec"} & {package.name for package in about.made_of().packages}
        assert {"borgbackup", "BSD-3-Clause"} <= cells
        await hands.read(saveos.__version__, about.LICENCE, parts.authority.fingerprint)

    visit(parts, journey)


def test_viewer_sees_what_is_harmless_and_changes_nothing(parts: Parts) -> None:
    with sqlite3.connect(parts.settings.database, timeout=10) as connection:
        connection.execute("UPDATE users SET role = 'viewer'")
    connection.close()

    async def journey(hands: Hands) -> None:
        await hands.read("Server certificate", parts.authority.fingerprint)
        assert not {"Further name or address", "Language of the appliance", "Storage", "Add"} & set(hands.texts)
        assert str(parts.settings.repositories) not in hands.grid_texts()

    visit(parts, journey)


def test_licence_that_is_handed_out_is_the_projects() -> None:
    package = Path(saveos.__file__).parent

    assert (package / "api" / "assets" / "AGPL-3.0.txt").read_bytes() == (package.parent / "LICENSE").read_bytes()
