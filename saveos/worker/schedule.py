"""APScheduler: the clock. Its ticks make rows; they do no work."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

from apscheduler.schedulers.background import BackgroundScheduler

from saveos import clock
from saveos.agents import questions
from saveos.errors import Unavailable
from saveos.measurements import storage
from saveos.measurements.model import SAMPLE_SECONDS
from saveos.offsite import orders as offsite_orders
from saveos.offsite import watching
from saveos.proofs import checks, turns
from saveos.snapshots import backup, overdue, pruning, rehydrating
from saveos.tenants import facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.measurements.sample import Sampler

log = logging.getLogger("saveos.schedule")
TICK_SECONDS = 15
MINUTE_SECONDS = 60
HOUR_SECONDS = 3600


def start(database: Database, hourly: Callable[[], None]) -> BackgroundScheduler:
    """Start ticking: due policies and old questions every 15 s, `hourly` every hour (the certificate). All in UTC."""
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )
    tick = lambda: _tick(database)  # noqa: E731 - bound to this database
    scheduler.add_job(_while_here, "interval", [database, tick], seconds=TICK_SECONDS, id="due-policies")
    scheduler.add_job(hourly, "interval", seconds=HOUR_SECONDS, id="hourly")
    scheduler.start()
    return scheduler


def add_upkeep(
    scheduler: BackgroundScheduler, database: Database, tidy: Callable[[], None], keep_alarming: Callable[[], None]
) -> None:
    """Look at retention and at what is overdue every minute; let old checkpoints go now and every hour.

    What alarms lack is kept within seconds: an alarm may be raised where no file can be touched, in a transaction.
    """
    for name, seconds, work in (
        ("retention", MINUTE_SECONDS, lambda: database.write(pruning.queue_due)),
        ("overdue", MINUTE_SECONDS, lambda: database.write(overdue.tick)),
        ("tidy", HOUR_SECONDS, tidy),
        ("keep-alarming", TICK_SECONDS, keep_alarming),
    ):
        scheduler.add_job(
            _while_here, "interval", [database, work], seconds=seconds, id=name, next_run_time=clock.now()
        )


def add_offsite(scheduler: BackgroundScheduler, database: Database, tidy: Callable[[], None]) -> None:
    """Ask for the offsite copies that lack a snapshot or a verification, and clear away what killed ones left.

    Whether copies keep up is looked at every minute.
    """
    for name, seconds, work in (
        ("offsite", HOUR_SECONDS, lambda: database.write(offsite_orders.queue_due)),
        ("offsite-verifications", HOUR_SECONDS, lambda: database.write(offsite_orders.queue_verifications)),
        ("offsite-tidy", HOUR_SECONDS, tidy),
        ("offsite-watch", MINUTE_SECONDS, lambda: database.write(watching.tick)),
    ):
        scheduler.add_job(
            _while_here, "interval", [database, work], seconds=seconds, id=name, next_run_time=clock.now()
        )


def add_self_backup(scheduler: BackgroundScheduler, database: Database, tick: Callable[[], None]) -> None:
    """Look whether the appliance is to back itself up, and whether a job waits for a repository to be fetched back."""

    def fetch_back() -> None:
        if rehydrating.is_wanted(database):
            database.write(rehydrating.queue_wanted)

    for name, work in (("self-backup", tick), ("fetch-back", fetch_back)):
        scheduler.add_job(
            _while_here, "interval", [database, work], seconds=TICK_SECONDS, id=name, next_run_time=clock.now()
        )


def add_measurements(scheduler: BackgroundScheduler, database: Database, settings: Settings, sampler: Sampler) -> None:
    """Sample now and every 30 s; thin out what is old and measure the repositories now and every hour."""
    for name, seconds, work in (
        ("sample", SAMPLE_SECONDS, sampler.take),
        ("thin-out", HOUR_SECONDS, sampler.thin_out),
        ("repository-sizes", HOUR_SECONDS, lambda: storage.measure(database, settings)),
    ):
        scheduler.add_job(_while_open, "interval", [work], seconds=seconds, id=name, next_run_time=clock.now())


def _while_open(work: Callable[[], object]) -> None:
    """Do it, unless the appliance is stopping and the database has just been closed."""
    try:
        work()
    except (Unavailable, sqlite3.ProgrammingError) as error:
        log.info("Nothing was measured: %s", error)


def _while_here(database: Database, work: Callable[[], object]) -> None:
    """Do it, unless the appliance has moved: what is due then is due elsewhere."""
    _while_open(lambda: facts.moved_to(database.read) or work())


def _tick(database: Database) -> None:
    count = database.write(backup.queue_due)
    if count:
        log.info("%d backups became due.", count)
    questions.forget(database)
    _ask_for_proofs(database)


def _ask_for_proofs(database: Database) -> None:
    """Let the next repository be checked, and hosts whose turn it is prove that they can restore."""
    if checks.is_due(database):
        database.write(checks.queue_due)
    count = turns.queue_due(database)
    if count:
        log.info("%d hosts are asked for a proof.", count)
