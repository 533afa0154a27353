"""Storage over time, and the day the disk is full."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.identity.principals import Permission, Principal
from saveos.measurements import activity, reading, table
from saveos.measurements.forecast import DAYS, DAYS_NEEDED, Forecast, Trend, foresee
from saveos.measurements.model import GRAINS, Name, Point, Range

if TYPE_CHECKING:
    import sqlite3

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.measurements.model import Series
    from saveos.protocol import TenantId

NOTHING = Forecast(trend=Trend.UNKNOWN)


class StoragePoint(msgspec.Struct, frozen=True, kw_only=True):
    """How much is stored at a moment.

    `used_bytes`: on the whole disk, as measured; None: nobody measured. `added_bytes`: by the tenant's snapshots.
    """

    at: datetime
    used_bytes: float | None
    added_bytes: int


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """The disk of the appliance, its past and its future.

    `full_at` None: nothing grows, or too little is known; `forecast.trend` says which. `is_from_snapshots`: the disk
    has been measured for too few days, so the forecast rests on what the snapshots added.
    """

    points: tuple[StoragePoint, ...]
    used_bytes: int
    free_bytes: int
    total_bytes: int
    forecast: Forecast = NOTHING
    is_from_snapshots: bool = False

    @property
    def full_at(self) -> datetime | None:
        """The day the disk is full."""
        return self.forecast.full_at


def storage_outlook(database: Database, principal: Principal, settings: Settings, span: Range = Range.MONTH) -> Outlook:
    """Return storage over a range, and the forecast, which always looks at the last 30 days."""
    principal.require(Permission.READ)
    disk = shutil.disk_usage(settings.folder)
    used = reading.series(database, principal, (Name.DISK_USED_BYTES,), span)[Name.DISK_USED_BYTES]
    month = used
    if span is not Range.MONTH:
        month = reading.series(database, principal, (Name.DISK_USED_BYTES,), Range.MONTH)[Name.DISK_USED_BYTES]
    connection = database.read
    measured = _known(month)
    is_short = len({int(point.at.timestamp()) // 86400 for point in measured}) <= DAYS_NEEDED
    basis = _from_snapshots(connection) if is_short else measured
    forecast = foresee(basis, disk.free, clock.now())
    return Outlook(
        points=_points(connection, principal.tenant_id, used),
        used_bytes=disk.used,
        free_bytes=disk.free,
        total_bytes=disk.used + disk.free,  # what the system keeps for itself cannot be used
        forecast=forecast,
        is_from_snapshots=is_short and forecast.trend is not Trend.UNKNOWN,
    )


def _known(series: Series) -> list[Point]:
    step = timedelta(seconds=series.step_seconds)
    return [
        Point(at=series.start + step * place, value=value)
        for place, value in enumerate(series.values)
        if value is not None
    ]


def _from_snapshots(connection: sqlite3.Connection) -> list[Point]:
    """Return what all snapshots of the last days added, growing. Days before the first one are no history."""
    points, total = [], 0
    for row in table.added(connection, None, clock.now() - timedelta(days=DAYS), reading.HOUR_WIDTH):
        total += row["added_bytes"]
        points.append(Point(at=activity.moment_of(row["slot"]), value=float(total)))
    return points


def _points(connection: sqlite3.Connection, tenant_id: TenantId, used: Series) -> tuple[StoragePoint, ...]:
    width = reading.MINUTE_WIDTH if used.step_seconds < GRAINS[Range.WEEK].step_seconds else reading.HOUR_WIDTH
    total = table.added_before(connection, tenant_id, used.start)
    growth = [
        (activity.moment_of(row["slot"]), row["added_bytes"])
        for row in table.added(connection, tenant_id, used.start, width)
    ]
    points, next_growth = [], 0
    for place, value in enumerate(used.values):
        at = used.start + timedelta(seconds=used.step_seconds * place)
        until = at + timedelta(seconds=used.step_seconds)
        while next_growth < len(growth) and growth[next_growth][0] < until:
            total += growth[next_growth][1]
            next_growth += 1
        points.append(StoragePoint(at=at, used_bytes=value, added_bytes=total))
    return tuple(points)
