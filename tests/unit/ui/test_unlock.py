"""The banner's button locks everything."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from saveos.errors import NotFound
from saveos.ui.unlock import Banner


def test_lock_goes_on_when_an_unlock_has_ended_by_itself() -> None:
    locked: list[str] = []

    async def lock(_principal: Any, unlock_id: str) -> None:
        if unlock_id == "gone":
            raise NotFound("There is no such unlock.")
        locked.append(unlock_id)

    async def nothing() -> None:
        pass

    found = [SimpleNamespace(unlock_id=unlock_id) for unlock_id in ("gone", "there")]
    unlocks = SimpleNamespace(current=lambda _principal: found, lock=lock)
    banner: Any = Banner.__new__(Banner)
    banner._visit = SimpleNamespace(who=nothing, parts=SimpleNamespace(unlocks=unlocks))
    banner.refresh = nothing

    asyncio.run(banner._lock())

    assert ["there"] == locked
