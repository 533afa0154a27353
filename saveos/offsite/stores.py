"""Where offsite copies go: choose a store, try it, take its prefix over."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from cryptography import x509

from saveos import clock
from saveos.audit.record import record
from saveos.database import secrets
from saveos.database.identifiers import new_id
from saveos.errors import InvalidRequest, NotAllowed, NotFound
from saveos.identity.principals import Actor, Permission
from saveos.offsite import lease, orders, probe, table, table_states
from saveos.offsite.bucket import Bucket
from saveos.offsite.hands import Pace
from saveos.offsite.model import Store, rate_at

if TYPE_CHECKING:
    import sqlite3
    import threading

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.database.secrets import Secret
    from saveos.identity.principals import Principal
    from saveos.offsite.model import Place, ProbeReport
    from saveos.protocol import TenantId

URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"([A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*)?")
WORD = re.compile(r"[A-Za-z0-9_-]{0,64}")
PREFIX_LIMIT = 200


def own_store(database: Database, principal: Principal, *, of_appliance: bool = False) -> Store | None:
    """Return the tenant's own store, or the appliance's, which all tenants use that have none."""
    principal.require(Permission.SETTINGS)
    return table.own_store(database.read, _whose(principal, of_appliance))


def keep_store(
    database: Database,
    settings: Settings,
    principal: Principal,
    place: Place,
    secret: Secret | None,
    *,
    of_appliance: bool = False,
) -> Store:
    """Use a place from now on, and ask for the copies that it lacks. `secret` None: as it was.

    At another endpoint, bucket or prefix all begins anew; what lies at the former one stays there. Raises
    InvalidRequest, naming the field.
    """
    principal.require(Permission.SETTINGS)
    place = _valid(place)
    whose = _whose(principal, of_appliance)

    def write(connection: sqlite3.Connection) -> Store:
        before = table.own_store(connection, whose)
        known = secret or _known_secret(connection, settings, before)
        is_same = before is not None and _where(before.place) == _where(place)
        store = Store(
            id=before.id if before and is_same else new_id("sto"),
            tenant_id=whose,
            place=place,
            made_at=before.made_at if before and is_same else clock.now(),
        )
        if before is not None and not is_same:
            table_states.forget_state(connection, before.id)
        table.put_store(connection, store, secrets.seal(settings.column_key, known, store.id))
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="offsite-store-chosen",
            target=store.id,
            endpoint=place.endpoint,
            bucket=place.bucket,
            prefix=place.prefix,
            lock=place.lock_mode.value,
            is_enabled=place.is_enabled,
            is_new_key=secret is not None,
        )
        orders.queue_due(connection)
        return store

    return database.write(write)


def forget_store(database: Database, principal: Principal, *, of_appliance: bool = False) -> None:
    """Use the store no more; what lies there stays there. Raises NotFound."""
    principal.require(Permission.SETTINGS)

    def write(connection: sqlite3.Connection) -> None:
        store = table.own_store(connection, _whose(principal, of_appliance))
        if store is None:
            raise NotFound("There is no such store.")
        table_states.forget_state(connection, store.id)
        table.forget_store(connection, store.id)
        record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="offsite-store-forgotten",
            target=store.id,
        )

    database.write(write)


def try_place(
    database: Database,
    settings: Settings,
    principal: Principal,
    place: Place,
    secret: Secret | None,
    *,
    of_appliance: bool = False,
) -> ProbeReport:
    """Try what a place can do before it is used; `secret` None: that of the present store. Raises InvalidRequest."""
    principal.require(Permission.SETTINGS)
    before = table.own_store(database.read, _whose(principal, of_appliance))
    return probe.probe(_valid(place), secret or _known_secret(database.read, settings, before))


def take_over(database: Database, settings: Settings, principal: Principal, *, of_appliance: bool = False) -> None:
    """Keep copies under a prefix that was another appliance's: that one is gone. Raises NotFound, StorageError."""
    principal.require(Permission.SETTINGS)
    store = table.own_store(database.read, _whose(principal, of_appliance))
    if store is None:
        raise NotFound("There is no such store.")
    lease.hold(bucket_of(database, settings, store), appliance_id(database), is_forced=True)
    database.write(
        lambda connection: record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="offsite-prefix-taken-over",
            target=store.id,
        )
    )


def appliance_id(database: Database) -> str:
    """Return by what this appliance is known in stores."""
    made = new_id("apl")
    return database.write(lambda connection: table.appliance_id(connection, made))


def bucket_of(
    database: Database, settings: Settings, store: Store, is_cancelled: threading.Event | None = None
) -> Bucket:
    """Open the bucket of a store. Raises Unavailable: its secret cannot be opened."""
    secret = _known_secret(database.read, settings, store)
    rate = store.place.rate
    pace = Pace(lambda: rate_at(rate, clock.now()), is_cancelled) if is_cancelled else None
    return Bucket(store.place, secret, is_cancelled=is_cancelled, pace=pace)


def _known_secret(connection: sqlite3.Connection, settings: Settings, store: Store | None) -> Secret:
    if store is None:
        raise InvalidRequest("The secret of the access key is needed.", field="secret")
    return secrets.unseal(settings.column_key, table.sealed_secret(connection, store.id), store.id)


def _whose(principal: Principal, of_appliance: bool) -> TenantId | None:  # noqa: FBT001 - passed on
    """Return whose store it is. Raises NotAllowed: no tenant's administrator speaks for all tenants."""
    if of_appliance and principal.actor is not Actor.SYSTEM:
        raise NotAllowed("The store of all tenants is chosen on the appliance itself.")
    return None if of_appliance else principal.tenant_id


def _where(place: Place) -> tuple[str, str, str]:
    return place.endpoint, place.bucket, place.prefix


def _valid(place: Place) -> Place:
    """Return the place as it is kept. Raises InvalidRequest."""
    place = msgspec.structs.replace(
        place,
        endpoint=place.endpoint.strip().rstrip("/"),
        prefix=place.prefix.strip().strip("/"),
        ca_pem=place.ca_pem.strip() + "\n" if place.ca_pem.strip() else "",
    )
    checks = (
        ("endpoint", _is_url(place.endpoint), "The endpoint is a URL: https://, a host, and a port if need be."),
        ("bucket", BUCKET.fullmatch(place.bucket), "A bucket's name has 3 to 63 of a-z, 0-9, dots and dashes."),
        ("prefix", _is_prefix(place.prefix), "A prefix has names of letters, digits and -_.!*'() between slashes."),
        ("region", place.region and WORD.fullmatch(place.region), "A region is a word such as us-east-1."),
        ("storage_class", WORD.fullmatch(place.storage_class), "A storage class is a word such as STANDARD_IA."),
        ("access_key_id", place.access_key_id.isprintable() and place.access_key_id, "The access key is needed."),
        ("ca_pem", _is_pem(place.ca_pem), "These are no certificates in PEM form."),
        ("rate", _is_zone(place.rate.time_zone), "There is no such time zone."),
    )
    for field, is_right, sentence in checks:
        if not is_right:
            raise InvalidRequest(sentence, field=field)
    return place


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _port = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and URL.fullmatch(text) is not None


def _is_prefix(text: str) -> bool:
    return len(text) <= PREFIX_LIMIT and PREFIX.fullmatch(text) is not None and not {".", ".."} & set(text.split("/"))


def _is_pem(text: str) -> bool:
    try:
        return not text or bool(x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return False


def _is_zone(name: str) -> bool:
    try:
        return not name or bool(ZoneInfo(name))
    except (ValueError, OSError, KeyError):
        return False
