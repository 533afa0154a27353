"""/api/v1/setup, /api/v1/session, /api/v1/tokens: the first administrator, signing in and out, API tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, Response, delete, get, post, put
from litestar.datastructures import Cookie
from litestar.params import Parameter
from msgspec import Meta

from saveos.api.problems import documented
from saveos.identity import profile, sessions
from saveos.identity.principals import Principal, Role
from saveos.identity.profile import OpenSession
from saveos.identity.sessions import COOKIE, ApiToken, Visitor
from saveos.parts import Parts
from saveos.policies import defaults
from saveos.protocol import ShortText
from saveos.tenants import kits, users
from saveos.tenants.model import Check

Email = Annotated[str, Meta(min_length=3, max_length=255)]
Password = Annotated[str, Meta(min_length=1, max_length=1024)]
Language = Annotated[str, Meta(pattern="^(|en|fr)$")]


class SetupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The first administrator. `setup_token`: what follows the # in the printed link."""

    setup_token: Annotated[str, Meta(max_length=255)]
    email: Email
    password: Password
    language: Language = ""
    recovery_public_key: Annotated[str, Meta(max_length=64)] = ""  # X25519, base64, of a code made by the caller
    recovery_check: Check | None = None

    def __repr__(self) -> str:
        return "SetupRequest(***)"


class SetUp(msgspec.Struct, frozen=True, kw_only=True):
    """Done. `recovery_code` opens every host's key; it is shown this once and stored nowhere: keep it safe.

    Empty when the caller made it, and sent its public key.
    """

    email: str
    recovery_code: str

    def __repr__(self) -> str:
        return "SetUp(***)"


class SignInRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Who you are."""

    email: Email
    password: Password

    def __repr__(self) -> str:
        return "SignInRequest(***)"


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in."""

    id: str
    email: str
    role: Role
    tenant_id: str
    language: str
    theme: str
    time_zone: str


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """How the dashboard looks and speaks."""

    language: Language = ""
    theme: Annotated[str, Meta(pattern="^(system|light|dark)$")] = "system"
    time_zone: Annotated[str, Meta(max_length=64)] | None = None  # IANA name; empty: the browser's; None: as it was


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True):
    """The password that is, and the one that shall be."""

    current_password: Password
    new_password: Password

    def __repr__(self) -> str:
        return "PasswordChange(***)"


class OpenSessionList(msgspec.Struct, frozen=True, kw_only=True):
    """Browsers signed in as you, the one that asks first."""

    items: list[OpenSession]


class EndedSessions(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions ended."""

    sessions_count: int


class ApiTokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A personal API token to be made."""

    name: Annotated[ShortText, Meta(min_length=1)]
    expires_at: datetime | None = None


class NewApiToken(msgspec.Struct, frozen=True, kw_only=True):
    """`token` is shown this once."""

    info: ApiToken
    token: str

    def __repr__(self) -> str:
        return "NewApiToken(***)"


class ApiTokenList(msgspec.Struct, frozen=True, kw_only=True):
    """Your live tokens, newest first."""

    items: list[ApiToken]


def me(principal: Principal) -> Me:
    """Return the principal as it is shown."""
    return Me(
        id=principal.id,
        email=principal.name,
        role=principal.role,
        tenant_id=principal.tenant_id,
        language=principal.language,
        theme=principal.theme,
        time_zone=principal.time_zone,
    )


def session_cookie(token: str, hours: float) -> Cookie:
    """Return the cookie of a browser session; an empty token takes it away."""
    age = int(hours * 3600) if token else 0
    return Cookie(key=COOKIE, value=token, path="/", max_age=age, secure=True, httponly=True, samesite="lax")


class Session(Controller):
    """Set-up, sign-in, tokens."""

    path = "/api/v1"
    tags = ("session",)

    @post("/setup", summary="Create the first administrator", sync_to_thread=True, responses=documented(409))
    def set_up(self, data: SetupRequest, parts: Parts) -> SetUp:
        """Create the first administrator with the one-time link that `saveos serve` prints."""
        own = data.recovery_public_key
        if data.recovery_check is not None:
            kits.require_check(data.recovery_check)
        kit = users.NewKit(public_key=kits.parse_key(own), check=data.recovery_check) if own else None
        made = users.set_up(
            parts.database, data.setup_token, data.email, data.password, data.language, defaults.give_default, kit
        )
        return SetUp(email=made.email, recovery_code=made.recovery_code or "")

    @post("/session", summary="Sign in", sync_to_thread=True, responses=documented())
    def sign_in(self, data: SignInRequest, visitor: Visitor, parts: Parts) -> Response[Me]:
        """Sign in; the answer sets the session's cookie."""
        hours = parts.settings.session_hours
        principal, token = sessions.sign_in(parts.database, data.email, data.password, visitor, hours=hours)
        return Response(me(principal), cookies=[session_cookie(token.text, hours)])

    @get("/session", summary="Show who is signed in", sync_to_thread=False, responses=documented())
    def who(self, principal: Principal) -> Me:
        """Tell who is signed in."""
        return me(principal)

    @put(
        "/session/preferences",
        summary="Keep your preferences",
        status_code=204,
        sync_to_thread=True,
        responses=documented(),
    )
    def prefer(self, data: Preferences, principal: Principal, parts: Parts) -> None:
        """Keep language, theme and time zone."""
        sessions.set_preferences(
            parts.database, principal, language=data.language, theme=data.theme, time_zone=data.time_zone
        )

    @put(
        "/session/password",
        summary="Change your password",
        status_code=200,
        sync_to_thread=True,
        responses=documented(),
    )
    def change_password(self, data: PasswordChange, principal: Principal, parts: Parts) -> EndedSessions:
        """Change your password. Every other session of yours ends; API tokens stay."""
        count = profile.change_password(parts.database, principal, data.current_password, data.new_password)
        return EndedSessions(sessions_count=count)

    @get("/sessions", summary="List your sessions", sync_to_thread=True, responses=documented())
    def sessions(self, principal: Principal, parts: Parts) -> OpenSessionList:
        """List the browsers that are signed in as you."""
        return OpenSessionList(items=profile.open_sessions(parts.database, principal))

    @delete(
        "/sessions", summary="Sign out everywhere else", status_code=200, sync_to_thread=True, responses=documented()
    )
    def end_others(self, principal: Principal, parts: Parts) -> EndedSessions:
        """End every session of yours but the one that asks."""
        return EndedSessions(sessions_count=profile.end_other_sessions(parts.database, principal))

    @delete("/sessions/{session_id:str}", summary="End a session", sync_to_thread=True, responses=documented())
    def end_session(
        self, session_id: Annotated[str, Parameter(max_length=64)], principal: Principal, parts: Parts
    ) -> None:
        """Sign one browser out."""
        profile.end_session(parts.database, principal, session_id)

    @delete("/session", summary="Sign out", status_code=200, sync_to_thread=True, responses=documented())
    def sign_out(self, principal: Principal, parts: Parts) -> Response[Me]:
        """Sign out; the cookie is dead everywhere."""
        sessions.sign_out(parts.database, principal)
        return Response(me(principal), cookies=[session_cookie("", 0)])

    @post("/tokens", summary="Make an API token", sync_to_thread=True, responses=documented())
    def create_token(self, data: ApiTokenRequest, principal: Principal, parts: Parts) -> NewApiToken:
        """Make a personal API token."""
        made, token = sessions.create_api_token(parts.database, principal, data.name, expires_at=data.expires_at)
        return NewApiToken(info=made, token=token.text)

    @get("/tokens", summary="List API tokens", sync_to_thread=True, responses=documented())
    def tokens(self, principal: Principal, parts: Parts) -> ApiTokenList:
        """List your API tokens."""
        return ApiTokenList(items=sessions.api_tokens(parts.database, principal))

    @delete("/tokens/{token_id:str}", summary="Revoke an API token", sync_to_thread=True, responses=documented())
    def revoke_token(
        self, token_id: Annotated[str, Parameter(max_length=64)], principal: Principal, parts: Parts
    ) -> None:
        """Revoke one of your API tokens."""
        sessions.revoke_api_token(parts.database, principal, token_id)
