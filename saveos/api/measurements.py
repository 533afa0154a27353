"""/api/v1/measurements: what was measured over time, and when the disk is full."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, get
from litestar.params import Parameter

from saveos.api.problems import documented
from saveos.identity.principals import Principal
from saveos.measurements import outlook, reading
from saveos.measurements.model import Name, Range, Series
from saveos.measurements.outlook import Outlook
from saveos.parts import Parts

RangeQuery = Annotated[Range, Parameter(query="range", description="How far back")]


class SeriesList(msgspec.Struct, frozen=True, kw_only=True):
    """Series over one range; steps in which nothing was measured are null."""

    items: list[Series]


class Measurements(Controller):
    """Measurements over time."""

    path = "/api/v1/measurements"
    tags = ("measurements",)

    @get("/", summary="Read measurements", sync_to_thread=True, responses=documented())
    def read(
        self,
        principal: Principal,
        parts: Parts,
        name: Annotated[
            list[Name] | None, Parameter(max_items=100, description="Series; none: all that you may")
        ] = None,
        span: RangeQuery = Range.DAY,
    ) -> SeriesList:
        """Read series by name. All but the disk's are for those who may know of every tenant's work."""
        names = name or sorted(reading.may_see(parts.database, principal))
        return SeriesList(items=list(reading.series(parts.database, principal, names, span).values()))

    @get("/storage", summary="Foresee storage", sync_to_thread=True, responses=documented())
    def storage(self, principal: Principal, parts: Parts, span: RangeQuery = Range.MONTH) -> Outlook:
        """Tell how storage grew, and when the disk is full if it goes on like that."""
        return outlook.storage_outlook(parts.database, principal, parts.settings, span)
