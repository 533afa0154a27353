"""The composition root: builds the parts, starts and stops them in order. The only file that knows everyone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn

from saveos.agents import addresses
from saveos.agents.pulse import Pulse
from saveos.agents.streams import Streams
from saveos.agents.waiting import Waiting
from saveos.api import application
from saveos.config import FILE_NAME, Origins, Settings
from saveos.connections import Http, WebSocket
from saveos.errors import Unavailable
from saveos.gate import Gate
from saveos.installers import own_host
from saveos.jobs import lifecycle
from saveos.measurements.sample import Sampler
from saveos.offsite.reaches import Reaches
from saveos.parts import Parts
from saveos.protocol import AgentId, Kind
from saveos.repositories import holder, quotas
from saveos.repositories.access import Access
from saveos.repositories.limits import Limits
from saveos.repositories.sessions import Sessions
from saveos.repositories.unlocks import Unlocks
from saveos.server import Contexts, Server, listen
from saveos.snapshots import checkpoints, witness
from saveos.snapshots.unsealing import Unsealing
from saveos.standing import Standing
from saveos.stores import Stores, endings_of, hold, open_stores
from saveos.tenants import users
from saveos.worker import schedule
from saveos.worker.checks import check_repository
from saveos.worker.indexing import Indexer
from saveos.worker.installers import build_agent, protect_appliance
from saveos.worker.offsite import Offsite
from saveos.worker.queue import Worker
from saveos.worker.selfbackup import SelfBackup
from saveos.worker.upkeep import Upkeep

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from saveos.database.connection import Database

log = logging.getLogger("saveos.app")
STOP_SECONDS = 5


class Appliance(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a serving process."""

    stores: Stores
    contexts: Contexts
    waiting: Waiting
    worker: Worker
    indexer: Indexer
    upkeep: Upkeep
    offsite: Offsite
    selfbackup: SelfBackup
    sessions: Sessions
    parts: Parts
    addresses: tuple[str, ...]


def build(stores: Stores, port: int, origins: Origins | None = None) -> Appliance:
    """Put the parts together; nothing runs yet. `origins` None: every setting may be changed in its file."""
    settings, database, authority = stores.settings, stores.database, stores.authority
    standing = Standing(settings, authority, port, origins or Origins(file=settings.folder / FILE_NAME))
    standing.renew()
    contexts = Contexts(authority)
    standing.on_certificate = contexts.load
    waiting = Waiting(database)
    reaches = Reaches(settings, database)
    sessions = Sessions(
        settings=settings,
        authority=authority,
        authorise=Access(settings, database, reaches.folder).authorise,
        on_written=lambda agent_id: _note_written(database, settings, agent_id),
        limits=Limits(settings, database),
    )
    endings = endings_of(stores)
    handlers: dict[Kind, Any] = {
        Kind.BUILD_AGENT: build_agent(settings),
        Kind.CHECK: check_repository(settings, database),
        Kind.PROTECT_APPLIANCE: protect_appliance(settings, database, authority, standing),
    }
    upkeep = Upkeep(settings, database, sessions)
    offsite = Offsite(settings, database, endings)
    selfbackup = SelfBackup(settings, database, standing.origins.file)
    handlers |= upkeep.handlers() | offsite.handlers() | selfbackup.handlers()
    worker = Worker(settings, database, handlers, endings)
    unlocks = Unlocks(settings, database)
    addresses.keep_own(database, standing.addresses)
    parts = Parts(
        settings=settings,
        database=database,
        authority=authority,
        waiting=waiting,
        pulse=Pulse(),
        streams=Streams(),
        endings=endings,
        standing=standing,
        unlocks=unlocks,
        unsealing=Unsealing(settings, database, unlocks),
        reaches=reaches,
        sessions=sessions,
    )
    return Appliance(
        stores=stores,
        contexts=contexts,
        waiting=waiting,
        worker=worker,
        indexer=Indexer(settings, database),
        upkeep=upkeep,
        offsite=offsite,
        selfbackup=selfbackup,
        sessions=sessions,
        parts=parts,
        addresses=standing.addresses,
    )


def serve(settings: Settings, on_ready: Callable[[Appliance], None], origins: Origins | None = None) -> None:
    """Serve until SIGTERM or SIGINT. Raises AlreadyRunning, Unavailable."""
    _raise_file_limit()
    with hold(settings), open_stores(settings) as stores:
        try:
            listeners = listen(settings.address, settings.port)
        except OSError as error:
            message = f"Port {settings.port} cannot be used: {error.strerror or error}. Choose another with --port."
            raise Unavailable(message) from error
        appliance = build(stores, listeners[0].getsockname()[1], origins)
        server = _server(appliance, listeners, on_ready)
        with contextlib.suppress(KeyboardInterrupt):
            server.run()


def _server(appliance: Appliance, listeners: list[socket.socket], on_ready: Callable[[Appliance], None]) -> Server:
    from saveos import ui  # noqa: PLC0415 - a second of imports that no other command needs

    dashboard = ui.build(appliance.parts)
    gate = Gate(
        appliance.stores.database,
        application.build(appliance.parts),
        dashboard,
        lambda: _background(appliance),
    )
    config = uvicorn.Config(
        gate,
        http=Http,
        ws=WebSocket,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who calls is what the channel says, not a header
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
        ws_max_size=4 * 1024 * 1024,
    )
    return Server(
        config,
        listeners,
        appliance.contexts,
        on_tunnel=appliance.sessions.accept,
        on_ready=lambda: on_ready(appliance),
        on_stopping=appliance.waiting.close,
    )


@contextlib.asynccontextmanager
async def _background(appliance: Appliance) -> AsyncIterator[None]:
    """Start what runs beside the requests and stop it in reverse: code after uvicorn's `run` does not run."""
    settings = appliance.stores.settings
    await asyncio.to_thread(witness.sweep, appliance.stores.database, settings)
    await asyncio.to_thread(
        lifecycle.resume, appliance.stores.database, settings.lease_seconds, appliance.parts.endings
    )
    own_host.sweep(settings)
    holder.sweep()
    appliance.parts.reaches.sweep()
    await appliance.parts.unsealing.start()
    await appliance.sessions.start()
    appliance.worker.start()
    appliance.indexer.start()
    hourly = lambda: _renew_and_reload(appliance)  # noqa: E731 - bound to this appliance
    clock = schedule.start(appliance.stores.database, hourly)
    schedule.add_upkeep(clock, appliance.stores.database, appliance.upkeep.tidy, appliance.upkeep.keep_before_alarms)
    schedule.add_offsite(clock, appliance.stores.database, appliance.offsite.tidy)
    schedule.add_self_backup(clock, appliance.stores.database, appliance.selfbackup.tick)
    schedule.add_measurements(clock, appliance.stores.database, settings, _sampler(appliance))
    watch = asyncio.create_task(appliance.waiting.watch())
    try:
        yield
    finally:
        clock.shutdown(wait=False)
        watch.cancel()
        await asyncio.to_thread(appliance.indexer.stop)
        await appliance.parts.unlocks.stop()
        await appliance.parts.unsealing.stop()
        await appliance.parts.reaches.stop()
        await asyncio.to_thread(appliance.worker.stop)
        await appliance.sessions.stop()


def _sampler(appliance: Appliance) -> Sampler:
    database, settings = appliance.stores.database, appliance.stores.settings
    return Sampler(database, settings, appliance.parts.pulse, lambda: len(appliance.sessions.listing()))


def _note_written(database: Database, settings: Settings, agent_id: AgentId) -> None:
    checkpoints.judge(database, settings, agent_id)
    quotas.note_written(database, settings, agent_id)


def _renew_and_reload(appliance: Appliance) -> None:
    if appliance.parts.standing.renew():
        log.info("The server's certificate has been renewed.")


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else hard
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def is_set_up(appliance: Appliance) -> bool:
    """Return whether there is an administrator."""
    return users.is_set_up(appliance.stores.database)
