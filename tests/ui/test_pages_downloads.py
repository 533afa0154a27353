"""/downloads for the simulated user: one host, many hosts, what is open, and who may."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.agents import provisioning
from saveos.agents.provisioning import Terms
from saveos.installers import bases
from saveos.protocol import Platform
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.agents.model import Provisioning
    from saveos.parts import Parts

LIST = "web-01\nweb-02, web-03\n"


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("downloads")) as made:
        base = made.settings.bases / bases.name_of(Platform.LINUX)
        base.parent.mkdir(mode=0o700)
        base.write_bytes(b"executable")
        yield made


def visit(parts: Parts, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await journey(Hands(user))

    asyncio.run(go())


def rights(parts: Parts) -> list[Provisioning]:
    principal, _cookie = board.sign_in(parts)
    return provisioning.find(parts.database, principal, limit=1000)


def make(parts: Parts, *names: str) -> list[Provisioning]:
    principal, _cookie = board.sign_in(parts)
    terms = Terms(platform=Platform.LINUX, hours=1)
    return [right for right, _token in provisioning.create_many(parts.database, principal, names, terms)]


def change(parts: Parts, statement: str, *values: str) -> None:
    with sqlite3.connect(parts.settings.database, timeout=10) as connection:
        connection.execute(statement, values)
    connection.close()


def enrol(parts: Parts, right: Provisioning) -> None:
    """Let the first planted host be the one that used the right, and be online."""
    change(
        parts,
        "UPDATE provisionings SET spent_at = ?1, downloaded_at = ?1, agent_id = (SELECT min(id) FROM agents)"
        " WHERE id = ?2",
        clock.to_text(clock.now()),
        right.id,
    )
    change(parts, "UPDATE agents SET seen_at = ?", clock.to_text(clock.now()))


def test_one_host_is_followed_until_it_is_online(parts: Parts) -> None:
    plant(parts.settings.database, 1, 1)

    async def journey(hands: Hands) -> None:
        await hands.user.open("/downloads")
        hands.type("Host names", "web-01")
        hands.press("Continue")
        await hands.read("Protect web-01", "The executable is ready", "Waiting for web-01", "saveos_enrol_")
        right = rights(parts)[0]
        links = [element.props.get("href") for element in hands.elements]
        assert f"/download/agent/linux?provisioning={right.id}" in links

        enrol(parts, right)

        await hands.read("web-01 is online")

    visit(parts, journey)


def test_qr_code_leads_to_the_page_and_holds_no_token(parts: Parts) -> None:
    right = make(parts, "web-01")[0]

    assert parts.page_url(right) == f"https://{parts.addresses[0]}/downloads?provisioning={right.id}"

    async def journey(hands: Hands) -> None:
        await hands.user.open(f"/downloads?provisioning={right.id}")
        await hands.read("Watch this on your phone")
        assert any(element.props.get("aria-label", "").startswith("QR code") for element in hands.elements)
        assert not any("saveos_enrol_" in text for text in hands.texts)

    visit(parts, journey)


def test_many_hosts_are_made_together_and_turn_green(parts: Parts) -> None:
    plant(parts.settings.database, 1, 1)

    async def journey(hands: Hands) -> None:
        await hands.user.open("/downloads")
        hands.type("Host names", LIST)
        await hands.read("3 hosts")
        hands.type("Valid for", "2")
        hands.choose("Unit", "days")
        hands.press("Continue")
        await hands.read("Protect 3 hosts", "0 of 3 online", "3 executables")
        made = rights(parts)
        assert len({right.batch_id for right in made}) == 1
        assert {48} == {round((right.expires_at - right.created_at).total_seconds() / 3600) for right in made}
        links = [element.props.get("href") for element in hands.elements]
        assert {f"/download/agents.{kind}?batch={made[0].batch_id}" for kind in ("zip", "csv")} <= set(links)

        enrol(parts, made[0])

        await hands.read("1 of 3 online")
        assert "Online" in hands.grid_texts()

    visit(parts, journey)


def test_bad_and_repeated_names_are_told_at_their_line_and_nothing_is_made(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.user.open("/downloads")
        hands.press("Continue")
        await hands.read("Name at least one host.")
        hands.type("Host names", "web-01\nno name!\nWEB-01")
        hands.type("Valid for", "soon")
        hands.press("Continue")
        await hands.read("Line 2: “name!” is not", "Line 3: WEB-01 stands in line 1", "A number above nought")

    visit(parts, journey)
    assert [] == rights(parts)


def test_another_language_keeps_the_pasted_list_and_the_token(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.user.open("/downloads")
        hands.type("Host names", LIST)
        hands.type("Valid for", "7")
        hands.tick("fr")
        await hands.read("Téléchargements", "3 hôtes")
        assert LIST == hands.field("Noms des hôtes").props["value"]
        assert "7" == hands.field("Valable pendant").props["value"]

        hands.type("Noms des hôtes", "web-09")
        hands.press("Continuer")
        await hands.read("saveos_enrol_")
        token = next(text for text in hands.texts if text.startswith("saveos_enrol_"))
        hands.tick("en")
        await hands.read("Protect web-09", token)

    visit(parts, journey)


def test_open_right_is_withdrawn_after_a_question(parts: Parts) -> None:
    right = make(parts, "web-01", "web-02")[0]

    async def journey(hands: Hands) -> None:
        await hands.user.open("/downloads")
        await hands.until(lambda: "web-01" in hands.grid_texts())
        hands.act(right.id, "withdraw")
        await hands.read("Withdraw this right?")
        assert rights(parts)[0].withdrawn_at is None
        hands.press("Withdraw")
        await hands.until(lambda: "web-01" not in hands.grid_texts() and "web-02" in hands.grid_texts())

        await hands.user.open(f"/downloads?provisioning={right.id}")
        await hands.read("This has been withdrawn")

    visit(parts, journey)


@pytest.mark.parametrize("query", ["provisioning=prv_none", "batch=bat_none"])
def test_download_that_does_not_exist_says_so(parts: Parts, query: str) -> None:
    async def journey(hands: Hands) -> None:
        answer = await hands.user.http_client.get(f"/downloads?{query}")
        assert answer.status_code == 404
        assert "There is no such download." in answer.text

    visit(parts, journey)


def test_viewer_sees_no_form_and_no_rights(parts: Parts) -> None:
    right = make(parts, "web-01")[0]
    change(parts, "UPDATE users SET role = 'viewer'")

    async def journey(hands: Hands) -> None:
        for path in ("/downloads", f"/downloads?provisioning={right.id}"):
            await hands.user.open(path)
            await hands.read("Your role does not permit to add hosts.")
            assert not any("web-01" in text for text in [*hands.texts, *hands.grid_texts()])

    visit(parts, journey)


def test_right_lost_in_mid_journey_makes_nothing(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.user.open("/downloads")
        hands.type("Host names", "web-01")
        change(parts, "UPDATE users SET role = 'viewer'")
        hands.press("Continue")
        await hands.until(lambda: hands.user.back_history[-1:] == ["/"], "the page to be left")

    visit(parts, journey)
    change(parts, "UPDATE users SET role = 'administrator'")
    assert [] == rights(parts)
