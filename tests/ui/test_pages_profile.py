"""/profile for the simulated user: preferences, password, API tokens, sessions."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import pytest

from saveos.errors import NotAuthenticated
from saveos.identity import profile, sessions
from saveos.identity.sessions import Visitor
from tests.ui import board
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.parts import Parts

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NEW = "another long sentence"


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("profile")) as made:
        yield made


def visit(parts: Parts, journey: Callable[[Hands, str], Awaitable[None]], path: str = "/profile") -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open(path)
            await journey(Hands(user), cookie)

    asyncio.run(go())


def elsewhere(parts: Parts, password: str = board.PASSWORD) -> str:
    """Sign in from another browser and return its cookie."""
    visitor = Visitor(address="192.0.2.7", browser=FIREFOX)
    return sessions.sign_in(parts.database, board.EMAIL, password, visitor, hours=1)[1].text


def is_signed_in(parts: Parts, cookie: str) -> bool:
    try:
        sessions.by_session(parts.database, cookie)
    except NotAuthenticated:
        return False
    return True


def test_language_theme_and_zone_are_kept_and_shown_at_once(parts: Parts) -> None:
    async def journey(hands: Hands, cookie: str) -> None:
        hands.choose("Theme", "dark")
        await hands.until(lambda: sessions.by_session(parts.database, cookie).theme == "dark")
        hands.type("Time zone", "Asia/Tokyo")
        hands.commit("Time zone")
        await hands.until(lambda: sessions.by_session(parts.database, cookie).time_zone == "Asia/Tokyo")
        hands.choose("Language", "fr")
        await hands.read("Profil", "Mot de passe actuel")
        assert "Asia/Tokyo" == hands.field("Fuseau horaire").props["value"]
        kept = sessions.by_session(parts.database, cookie)
        assert ("fr", "dark", "Asia/Tokyo") == (kept.language, kept.theme, kept.time_zone)

    visit(parts, journey)


def test_zone_that_does_not_exist_is_told_and_not_kept(parts: Parts) -> None:
    async def journey(hands: Hands, cookie: str) -> None:
        hands.type("Time zone", "Mars/Olympus")
        hands.commit("Time zone")
        await hands.read("There is no such time zone.")
        assert "" == sessions.by_session(parts.database, cookie).time_zone

    visit(parts, journey)


def test_password_change_needs_the_current_one_and_ends_other_sessions(parts: Parts) -> None:
    other = elsewhere(parts)

    async def journey(hands: Hands, cookie: str) -> None:
        hands.type("Current password", "not this one")
        hands.type("New password", NEW)
        hands.type("New password, once more", NEW + "!")
        hands.press("Change the password")
        await hands.read("The two passwords differ.")
        hands.type("New password, once more", NEW)
        hands.press("Change the password")
        await hands.read("This is not your password.")
        assert is_signed_in(parts, other)

        hands.type("Current password", board.PASSWORD)
        hands.press("Change the password")

        await hands.until(lambda: not is_signed_in(parts, other))
        await hands.until(lambda: hands.field("Current password").props["value"] == "")
        assert is_signed_in(parts, cookie)

    visit(parts, journey)
    assert is_signed_in(parts, elsewhere(parts, NEW))
    with pytest.raises(NotAuthenticated):
        elsewhere(parts)


def test_what_is_typed_outlives_another_language(parts: Parts) -> None:
    async def journey(hands: Hands, _cookie: str) -> None:
        hands.type("What is it for?", "reports")
        hands.tick("fr")
        await hands.read("Où vous êtes connecté")
        assert "reports" == hands.field("À quoi sert-il ?").props["value"]

    visit(parts, journey)


def test_api_token_is_made_shown_once_and_revoked(parts: Parts) -> None:
    async def journey(hands: Hands, _cookie: str) -> None:
        hands.press("Make a token")
        await hands.read("Give the token a name.")
        hands.type("What is it for?", "reports")
        hands.press("Make a token")
        await hands.read("shown only this once", "saveos_api_")
        token = next(text for text in hands.texts if text.startswith("saveos_api_") and not text.endswith("…"))
        assert board.EMAIL == sessions.by_api_token(parts.database, token).name
        hands.press("Revoke: reports")
        await hands.until(lambda: token not in hands.texts)
        with pytest.raises(NotAuthenticated):
            sessions.by_api_token(parts.database, token)

    visit(parts, journey)


def test_sessions_are_shown_and_one_is_signed_out(parts: Parts) -> None:
    async def journey(hands: Hands, cookie: str) -> None:
        other = elsewhere(parts)
        await hands.read("Firefox on Linux", "192.0.2.7", "this one")
        hands.press("Sign out: Firefox on Linux, 192.0.2.7")
        await hands.until(lambda: not is_signed_in(parts, other))
        await hands.until(lambda: "Firefox on Linux" not in hands.texts)
        assert is_signed_in(parts, cookie)

    visit(parts, journey)


def test_all_others_are_signed_out_at_once(parts: Parts) -> None:
    others = [elsewhere(parts), elsewhere(parts)]

    async def journey(hands: Hands, cookie: str) -> None:
        await hands.read("Firefox on Linux")
        hands.press("Sign out everywhere else")
        await hands.until(lambda: not any(is_signed_in(parts, other) for other in others))
        assert is_signed_in(parts, cookie)

    visit(parts, journey)


@pytest.mark.parametrize("path", ["/", "/profile", "/downloads", "/agents"])
def test_page_of_a_session_that_is_ended_elsewhere_closes(
    parts: Parts, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def journey(hands: Hands, cookie: str) -> None:
        own, left = sessions.by_session(parts.database, cookie), []
        monkeypatch.setattr(hands.user.navigate, "to", left.append)  # the sign-in page is none of NiceGUI's
        found = profile.open_sessions(parts.database, own)
        profile.end_session(parts.database, own, found[0].id)
        await hands.until(lambda: left == ["/logout"], "the page to close")

    visit(parts, journey, path)


def test_viewer_has_a_profile_too(parts: Parts) -> None:
    with sqlite3.connect(parts.settings.database, timeout=10) as connection:
        connection.execute("UPDATE users SET role = 'viewer'")
    connection.close()

    async def journey(hands: Hands, _cookie: str) -> None:
        await hands.read("Viewer", "Where you are signed in")

    visit(parts, journey)
