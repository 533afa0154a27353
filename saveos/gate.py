"""The outermost ASGI application: who is it, security headers, then the API or the dashboard.

One place decides who somebody is; handlers and pages only read `scope["state"]`: `principal` (a person), `agent`
(a host), `refusal` (why what was shown did not do).
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from saveos.agents import credentials
from saveos.agents.enrolment import note_refusal
from saveos.errors import NotAllowed, SaveOSError
from saveos.identity import sessions
from saveos.identity.sessions import COOKIE

if TYPE_CHECKING:
    from saveos.database.connection import Database

API_PREFIXES = (
    "/api/",
    "/docs",
    "/health",
    "/metrics",
    "/login",
    "/logout",
    "/setup",
    "/recovery-kit",
    "/download/",
    "/assets/",
)
OPEN_PAGES = ("/_nicegui/",)  # static files of the dashboard
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_SECONDS = 30.0

COMMON_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"cross-origin-opener-policy", b"same-origin"),
]
# NiceGUI compiles its templates in the browser: without 'unsafe-eval' the page stays blank. Nothing comes from
# another host.
PAGE_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline';"
    b" img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'self';"
    b" frame-ancestors 'none'"
)


class Gate:
    """The dispatcher."""

    def __init__(self, database: Database, api: Any, dashboard: Any, background: Any) -> None:
        """Keep where requests go: `api` is the Litestar application, `dashboard` the FastAPI shell of NiceGUI or None.

        `background` returns an async context manager, entered first and left last.
        """
        self._database = database
        self._api = api
        self._dashboard = dashboard
        self._background = background

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection of the ASGI protocol."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        state = scope["state"] = {**scope.get("state", {}), "principal": None, "agent": None, "refusal": None}
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._recognise(scope, headers, state)
        path = scope["path"]
        is_api = path.startswith(API_PREFIXES)
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, headers)
            return
        send = _with_headers(send, is_api=is_api)
        if is_api or self._dashboard is None:
            await self._api(scope, _impatient(receive), send)
        elif state["principal"] is None and not path.startswith(OPEN_PAGES):
            await _redirect(send, _sign_in(path, scope.get("query_string", b"").decode("latin-1")))
        else:
            await self._dashboard(scope, receive, send)

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._background())
                await stack.enter_async_context(self._api.lifespan())
                if self._dashboard is not None:
                    await stack.enter_async_context(self._dashboard.router.lifespan_context(self._dashboard))
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _websocket(self, scope: Any, receive: Any, send: Any, headers: dict[str, str]) -> None:
        """Only a signed-in page of our own may open one: NiceGUI itself would take any origin."""
        if self._dashboard is None or scope["state"]["principal"] is None or not _is_own_origin(headers):
            await receive()
            await send({"type": "websocket.close", "code": 4401})
            return
        await self._dashboard(scope, receive, send)

    def _recognise(self, scope: Any, headers: dict[str, str], state: dict[str, Any]) -> None:
        bearer = re.fullmatch(r"Bearer (\S+)", headers.get("authorization", ""))
        peer = scope.get("extensions", {}).get("saveos.peer")
        try:
            if bearer and bearer[1].startswith("saveos_api_"):
                state["principal"] = sessions.by_api_token(self._database, bearer[1])
            elif bearer and bearer[1].startswith("saveos_enrol_"):
                state["enrolment_token"] = bearer[1]
            elif bearer or peer:
                state["agent"] = credentials.authenticate(self._database, peer, bearer[1] if bearer else "")
            elif cookie := _cookie(headers.get("cookie", "")):
                principal = sessions.by_session(self._database, cookie)
                _require_own_page(scope, headers)
                state["principal"] = principal
        except SaveOSError as error:
            state["refusal"] = error
            if bearer or peer:
                self._note(scope, error, peer)

    def _note(self, scope: Any, error: SaveOSError, peer: credentials.Peer | None) -> None:
        address = scope["client"][0] if scope.get("client") else ""
        note_refusal(self._database, "credentials-refused", error.code, address, peer.serial if peer else "")


def _cookie(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def _require_own_page(scope: Any, headers: dict[str, str]) -> None:
    """Refuse a changing request that another site made a browser send (the cookie is SameSite=Lax besides)."""
    if scope["type"] == "http" and scope["method"] not in SAFE_METHODS and not _is_own_origin(headers):
        message = "This request comes from another site."
        raise NotAllowed(message)


def _is_own_origin(headers: dict[str, str]) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return urlsplit(origin).netloc == headers.get("host")


def _with_headers(send: Any, *, is_api: bool) -> Any:
    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message.get("headers", [])}
            extra = [*COMMON_HEADERS, (b"content-security-policy", PAGE_POLICY)]
            if is_api:
                extra.append((b"cache-control", b"no-store"))
            message["headers"] = [
                *message.get("headers", []),
                *((name, value) for name, value in extra if name not in present),
            ]
        await send(message)

    return send_with_headers


def _impatient(receive: Any) -> Any:
    """End a request whose body stops coming; a wait for the client's disconnect may last."""
    is_complete = False

    async def receive_in_time() -> Any:
        nonlocal is_complete
        if is_complete:
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), BODY_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}
        is_complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return receive_in_time


def _sign_in(path: str, query: str) -> str:
    """Return where a stranger signs in, to be sent on to what was asked for."""
    asked = f"{path}?{query}" if query else path
    return f"/login?next={quote(asked)}" if asked != "/" else "/login"


async def _redirect(send: Any, location: str) -> None:
    headers = [(b"location", location.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
