"""How the appliance stands: the names it answers to, and its language. Both may be changed while it serves.

The other settings hold from one start to the next. What is changed here is kept in the settings file, unless a flag
or the environment says otherwise: then it is theirs alone.
"""

from __future__ import annotations

import ipaddress
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import config_file
from saveos.agents import addresses as told_addresses
from saveos.agents.hostnames import name_or_address
from saveos.audit.record import record
from saveos.certificates import issuance
from saveos.certificates.issuance import ServerCertificate
from saveos.errors import Conflict, InvalidRequest
from saveos.identity.principals import Permission
from saveos.locale import LANGUAGES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from saveos.certificates.authority import Authority
    from saveos.config import Origins, Settings
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal

NAMES_LIMIT = 50
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """Where the appliance is reached, and the certificate that says so."""

    names: tuple[str, ...]  # the further ones, of the settings
    addresses: tuple[str, ...]  # "host:port", the best first
    is_fixed: bool  # by a flag or the environment
    certificate: ServerCertificate
    root_fingerprint: str


class Standing:
    """The names and the language of this moment. `on_certificate` is called when there is a new certificate."""

    def __init__(self, settings: Settings, authority: Authority, port: int, origins: Origins) -> None:
        """Begin with what the settings say."""
        self.origins = origins
        self.names, self.language = settings.names, settings.language
        self.on_certificate: Callable[[], None] = lambda: None
        self.port = port
        self._settings, self._authority = settings, authority
        self._changing = threading.Lock()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the appliance is reached: "host:port", the best first."""
        return addresses(msgspec.structs.replace(self._settings, names=self.names), self.port)

    def renew(self, *, is_exact: bool = False) -> bool:
        """Make or renew the server's certificate if that is needed; return whether it changed."""
        life = timedelta(days=self._settings.server_certificate_days)
        bound = [] if self._settings.address in EVERYWHERE else [self._settings.address]
        is_new = issuance.ensure_server_certificate(self._authority, [*self.names, *bound], life, is_exact=is_exact)
        if is_new:
            self.on_certificate()
        return is_new

    def shown(self) -> Names:
        """Return the names as they are shown."""
        return Names(
            names=self.names,
            addresses=self.addresses,
            is_fixed=self.origins.is_fixed("names"),
            certificate=issuance.server_certificate(self._authority),
            root_fingerprint=self._authority.fingerprint,
        )

    def take_names(self, names: tuple[str, ...]) -> None:
        """Answer to these names from now on: kept in the file, certified, shown to whoever connects next."""
        with self._changing:
            config_file.put(self.origins.file, "names", names)
            self.names = names
            self.renew(is_exact=True)

    def take_language(self, language: str) -> None:
        """Speak this language to browsers that ask for none."""
        with self._changing:
            config_file.put(self.origins.file, "language", language)
            self.language = language


def addresses(settings: Settings, port: int) -> tuple[str, ...]:
    """Return "host:port" for every name that agents may dial, the most useful first."""
    if settings.address in EVERYWHERE:
        names = [*settings.names, *sorted(issuance.machine_names(), key=_usefulness)]
    else:
        names = [*settings.names, settings.address]
    unique = dict.fromkeys(name for name in names if name)
    return tuple(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name in unique)


def names(_database: Database, principal: Principal, standing: Standing) -> Names:
    """Return where the appliance is reached, and its certificate."""
    principal.require(Permission.READ)
    return standing.shown()


def change_names(database: Database, principal: Principal, standing: Standing, wanted: Sequence[str]) -> Names:
    """Let the appliance answer to these further names; the certificate is made anew without a restart.

    Raises InvalidRequest (no name, too many), Conflict (a flag or the environment says them), Unavailable.
    """
    principal.require(Permission.SETTINGS)
    _require_free(standing, "names")
    clean = tuple(dict.fromkeys(_clean(name) for name in wanted))
    if len(clean) > NAMES_LIMIT:
        message = f"At most {NAMES_LIMIT} names."
        raise InvalidRequest(message, field="names")
    standing.take_names(clean)
    told_addresses.keep_own(database, standing.addresses)
    _note(database, principal, "names-changed", list(clean))
    return standing.shown()


def change_language(database: Database, principal: Principal, standing: Standing, language: str) -> None:
    """Speak another language to browsers that ask for none. Raises InvalidRequest, Conflict, Unavailable."""
    principal.require(Permission.SETTINGS)
    _require_free(standing, "language")
    if language not in LANGUAGES:
        message = f"The appliance speaks {' and '.join(LANGUAGES)}."
        raise InvalidRequest(message, field="language")
    standing.take_language(language)
    _note(database, principal, "language-changed", language)


def _require_free(standing: Standing, name: str) -> None:
    if standing.origins.is_fixed(name):
        message = f"The {name} of the appliance are set by its command line or environment. Change them there."
        raise Conflict(message)


def _note(database: Database, principal: Principal, action: str, value: object) -> None:
    def write(connection: sqlite3.Connection) -> None:
        record(connection, tenant_id=principal.tenant_id, actor=principal.label, action=action, value=value)

    database.write(write)


def _clean(name: str) -> str:
    """Return a name as certificates hold it. Raises InvalidRequest."""
    clean = name_or_address(name)
    if not clean:
        message = f"{name.strip()[:253]!r} is neither a name nor an address."
        raise InvalidRequest(message, field="names")
    return clean


def _usefulness(name: str) -> tuple[int, str]:
    """Order: addresses that others can reach, names, loopback. A bare address works where no DNS does."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return (3 if name == "localhost" else 1, name)
    if address.is_loopback:
        return (2, name)
    return (0 if address.version == 4 else 1, name)  # noqa: PLR2004 - IPv4
