"""APScheduler: the clock. Its ticks make rows; they do no work."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from apscheduler.schedulers.background import BackgroundScheduler

from saveos.agents import questions
from saveos.snapshots import backup

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.database.connection import Database

log = logging.getLogger("saveos.schedule")
TICK_SECONDS = 15
HOUR_SECONDS = 3600


def start(database: Database, hourly: Callable[[], None]) -> BackgroundScheduler:
    """Start ticking: due policies and old questions every 15 s, `hourly` every hour (the certificate). All in UTC."""
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )
    scheduler.add_job(lambda: _tick(database), "interval", seconds=TICK_SECONDS, id="due-policies")
    scheduler.add_job(hourly, "interval", seconds=HOUR_SECONDS, id="hourly")
    scheduler.start()
    return scheduler


def _tick(database: Database) -> None:
    count = database.write(backup.queue_due)
    if count:
        log.info("%d backups became due.", count)
    questions.forget(database)
