"""Where offsite copies go: choose a store, try it, take its prefix over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.audit.record import record
from saveos.database import secrets
from saveos.database.identifiers import new_id
from saveos.errors import InvalidRequest, NotFound
from saveos.identity.principals import Permission
from saveos.offsite import lease, orders, places, probe, table, table_states
from saveos.offsite.bucket import Bucket
from saveos.offsite.hands import Pace
from saveos.offsite.model import Store, rate_at
from saveos.tenants import table as tenants

if TYPE_CHECKING:
    import sqlite3
    import threading

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.database.secrets import Secret
    from saveos.identity.principals import Principal
    from saveos.offsite.model import Place, ProbeReport
    from saveos.protocol import TenantId


def own_store(database: Database, principal: Principal) -> Store | None:
    """Return the tenant's own store. That of the first tenant, whose the appliance is, serves all that have none."""
    principal.require(Permission.SETTINGS)
    return table.own_store(database.read, _whose(database.read, principal))


def keep_store(
    database: Database,
    settings: Settings,
    principal: Principal,
    place: Place,
    secret: Secret | None,
) -> Store:
    """Use a place from now on, and ask for the copies that it lacks. `secret` None: as it was.

    At another endpoint, bucket or prefix all begins anew; what lies at the former one stays there. Raises
    InvalidRequest, naming the field.
    """
    principal.require(Permission.SETTINGS)
    place = _checked(database.read, principal, place)
    whose = _whose(database.read, principal)

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


def forget_store(database: Database, principal: Principal) -> None:
    """Use the store no more; what lies there stays there. Raises NotFound."""
    principal.require(Permission.SETTINGS)

    def write(connection: sqlite3.Connection) -> None:
        store = table.own_store(connection, _whose(connection, principal))
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
) -> ProbeReport:
    """Try what a place can do before it is used; `secret` None: that of the present store. Raises InvalidRequest."""
    principal.require(Permission.SETTINGS)
    before = table.own_store(database.read, _whose(database.read, principal))
    return probe.probe(
        _checked(database.read, principal, place), secret or _known_secret(database.read, settings, before)
    )


def take_over(database: Database, settings: Settings, principal: Principal) -> None:
    """Keep copies under a prefix that was another appliance's: that one is gone. Raises NotFound, StorageError."""
    principal.require(Permission.SETTINGS)
    store = table.own_store(database.read, _whose(database.read, principal))
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


def hold(database: Database, bucket: Bucket, store: Store) -> None:
    """Make sure that a store's prefix is ours; after a recovery it is taken over once. Raises OffsiteTaken."""
    is_inherited = table.is_inherited(database.read, store.id)
    lease.hold(bucket, appliance_id(database), is_forced=is_inherited)
    if is_inherited:
        database.write(lambda connection: table.set_inherited(connection, [], [store.id]))


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


def _whose(connection: sqlite3.Connection, principal: Principal) -> TenantId | None:
    """Return whose store it is; None: the appliance's, which is the first tenant's."""
    first = tenants.first_tenant(connection)
    return None if first is not None and first["id"] == principal.tenant_id else principal.tenant_id


def _checked(connection: sqlite3.Connection, principal: Principal, place: Place) -> Place:
    """Return the place as it is kept. Raises InvalidRequest."""
    return places.valid(place, is_own_network=_whose(connection, principal) is None)


def _where(place: Place) -> tuple[str, str, str]:
    return place.endpoint, place.bucket, place.prefix
