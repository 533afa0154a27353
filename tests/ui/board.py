"""The dashboard's pages without a browser: NiceGUI's simulated user, through our gate and with a real session."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from nicegui import Client
from nicegui.elements.timer import Timer
from nicegui.testing import User
from nicegui.testing.general import nicegui_reset_globals

from saveos import app, clock, config, ui
from saveos.gate import Gate
from saveos.identity import sessions, table, tokens
from saveos.identity.sessions import COOKIE
from saveos.identity.tokens import TokenKind
from saveos.policies import defaults
from saveos.stores import open_stores
from saveos.tenants import users

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from saveos.config import Settings
    from saveos.identity.principals import Principal
    from saveos.parts import Parts

EMAIL, PASSWORD = "anna@example.org", "correct horse battery staple"


@contextlib.contextmanager
def appliance(folder: Path) -> Iterator[Parts]:
    """Return the parts of an appliance that does not serve; it has its administrator."""
    shutil.copytree(_set_up(), folder, dirs_exist_ok=True)
    with open_stores(_settings(folder)) as stores:
        yield app.build(stores, 8000).parts


@functools.cache
def _set_up() -> Path:
    """Return a data folder to copy: to make the tables and to hash the password takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="saveos-board-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with open_stores(_settings(folder)) as stores:
        users.create_administrator(stores.database, EMAIL, PASSWORD, "en", defaults.give_default)
    return folder


def _settings(folder: Path) -> Settings:
    return config.load({"data": str(folder), "address": "127.0.0.1"}, {})


def sign_in(parts: Parts) -> tuple[Principal, str]:
    """Return the administrator and the value of their cookie; a password is slow to check, and not looked at here."""
    token, expires_at = tokens.create(TokenKind.SESSION), clock.now() + timedelta(hours=1)

    def write(connection: sqlite3.Connection) -> None:
        user = table.user_by_email(connection, EMAIL)
        assert user is not None
        table.insert_session(connection, token.secret_hash, user["id"], expires_at, "", "")

    parts.database.write(write)
    return sessions.by_session(parts.database, token.text), token.text


@contextlib.asynccontextmanager
async def visitor(parts: Parts, cookie: str) -> AsyncIterator[User]:
    """Return a simulated user who is signed in with that cookie."""
    with nicegui_reset_globals():
        os.environ["NICEGUI_USER_SIMULATION"] = "true"
        try:
            shell: Any = ui.build(parts)
            gate = Gate(parts.database, None, shell, contextlib.nullcontext)
            async with shell.router.lifespan_context(shell):
                transport = httpx.ASGITransport(gate)
                cookies = {COOKIE: cookie}
                async with httpx.AsyncClient(transport=transport, base_url="https://test", cookies=cookies) as client:
                    try:
                        yield User(client)
                    finally:
                        # A timer that reads at this moment swallows its task's end, and would tick for ever.
                        for page in Client.instances.values():
                            for timer in [found for found in page.elements.values() if isinstance(found, Timer)]:
                                timer.cancel()
        finally:
            os.environ.pop("NICEGUI_USER_SIMULATION", None)


def visit(parts: Parts, journey: Callable[[User], Awaitable[None]], *, cookie: str = "") -> None:
    """Take a journey, as the administrator if nobody else is named."""
    cookie = cookie or sign_in(parts)[1]

    async def go() -> None:
        async with visitor(parts, cookie) as user:
            await journey(user)

    asyncio.run(go())
