"""/api/v1/settings: how the appliance stands, and what may be changed while it serves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, Response, get, put
from msgspec import Meta

from saveos import about, standing
from saveos.api.problems import documented
from saveos.identity.principals import Permission, Principal
from saveos.parts import Parts
from saveos.repositories import keeping
from saveos.standing import NAMES_LIMIT, Names


class SettingsView(msgspec.Struct, frozen=True, kw_only=True):
    """How the appliance stands. `names`: further ones; `addresses`: all, the best first; hex with colons.

    `quarantine_days`: how long the tenant's checkpoints are kept; `quarantine_bytes`: what they hold on disk.
    """

    version: str
    borg_version: str
    language: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    certificate_names: tuple[str, ...]
    certificate_expires_at: datetime
    certificate_fingerprint: str
    root_fingerprint: str
    quarantine_days: int
    quarantine_bytes: int


class SettingsChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be otherwise; what is not named stays. `names` are all the further names."""

    names: Annotated[list[Annotated[str, Meta(max_length=253)]], Meta(max_length=NAMES_LIMIT)] | None = None
    language: Annotated[str, Meta(pattern="^(en|fr)$")] | None = None
    quarantine_days: Annotated[int, Meta(ge=0, le=keeping.DAYS_LIMIT)] | None = None


class ApplianceSettings(Controller):
    """The appliance itself."""

    tags = ("settings",)

    @get("/api/v1/settings", summary="Show the settings", sync_to_thread=True, responses=documented())
    def show(self, principal: Principal, parts: Parts) -> SettingsView:
        """Show where the appliance is reached, its certificate, and its versions."""
        return _view(standing.names(parts.database, principal, parts.standing), principal, parts)

    @put("/api/v1/settings", summary="Change the settings", sync_to_thread=True, responses=documented(409))
    def change(self, data: SettingsChange, principal: Principal, parts: Parts) -> SettingsView:
        """Change names or language: kept in saveos.toml. New names are certified without a restart."""
        principal.require(Permission.SETTINGS)
        if data.language is not None:
            standing.change_language(parts.database, principal, parts.standing, data.language)
        if data.quarantine_days is not None:
            keeping.choose_days(parts.database, principal, data.quarantine_days)
        if data.names is not None:
            standing.change_names(parts.database, principal, parts.standing, data.names)
        return _view(parts.standing.shown(), principal, parts)

    @get("/download/root.pem", summary="Download the root certificate", sync_to_thread=True, responses=documented())
    def root(self, principal: Principal, parts: Parts) -> Response[bytes]:
        """Fetch the root certificate, for browsers and programs that are to trust this appliance."""
        principal.require(Permission.READ)
        headers = {"content-disposition": 'attachment; filename="saveos-root.pem"'}
        content = parts.authority.root_pem.encode()
        return Response(content, media_type="application/x-pem-file", headers=headers)


def _view(names: Names, principal: Principal, parts: Parts) -> SettingsView:
    made = about.made_of()
    return SettingsView(
        version=made.version,
        borg_version=made.borg,
        language=parts.standing.language,
        names=names.names,
        addresses=names.addresses,
        certificate_names=names.certificate.names,
        certificate_expires_at=names.certificate.expires_at,
        certificate_fingerprint=names.certificate.fingerprint,
        root_fingerprint=names.root_fingerprint,
        quarantine_days=keeping.days(parts.database, principal),
        quarantine_bytes=keeping.held_bytes(parts.database, principal),
    )
