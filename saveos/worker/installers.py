"""Jobs that build an agent executable, and the one that runs it here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from saveos.installers import bases, own_host
from saveos.installers.own_host import Place
from saveos.protocol import Platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.certificates.authority import Authority
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.standing import Standing
    from saveos.worker.queue import Running

_PERCENT = re.compile(r"^(\d{1,3})\s?%")


def build_agent(settings: Settings) -> Callable[[Running], str]:
    """Return the handler of BUILD_AGENT jobs."""

    def handle(running: Running) -> str:
        platform = Platform(running.job.order["platform"])

        def on_line(line: str) -> None:
            percent = _PERCENT.match(line)
            running.say(line, phase="building", done=int(percent[1]) if percent else 0, total=100 if percent else 0)

        path = bases.build(settings, platform, on_line, running.is_cancelled.is_set)
        return f"Built {path.name} ({path.stat().st_size / 1e6:.1f} MB)."

    return handle


def protect_appliance(
    settings: Settings, database: Database, authority: Authority, standing: Standing
) -> Callable[[Running], str]:
    """Return the handler of PROTECT_APPLIANCE jobs."""

    def handle(running: Running) -> str:
        place = Place(addresses=standing.addresses, root_certificate=authority.root_pem)

        def on_step(line: str, percent: int) -> None:
            running.say(line, phase="protecting", done=percent, total=100)

        return own_host.protect(settings, database, running.job, place, on_step, running.is_cancelled.is_set)

    return handle
