"""What a job says, line by line, as it says it. The lines live in the browser (log.js), the server knows the last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui.element import Element

from saveos.jobs import lifecycle

if TYPE_CHECKING:
    from saveos.jobs.model import JobLogLine
    from saveos.ui.frame import Visit

AT_ONCE = 2000


class Log(Element, component="log.js"):
    """The log of one job."""

    def __init__(self, visit: Visit, job_id: str) -> None:
        """Show nothing until `refresh`."""
        super().__init__()
        self._visit, self._job_id, self._after = visit, job_id, 0
        self._props["label"] = visit.say("job.log")

    @property
    def is_empty(self) -> bool:
        """Whether nothing was said yet."""
        return self._after == 0

    async def refresh(self) -> None:
        """Add what has been said since the last time."""
        found = await self._visit.ask(lifecycle.log, self._job_id, self._after, AT_ONCE)
        if found:
            self._after = found[-1].id
            self.run_method("add", [self._shown(line) for line in found])

    def _shown(self, line: JobLogLine) -> dict[str, str | int]:
        at = self._visit.words.clock(line.at)
        return {"id": line.id, "at": at, "level": line.level, "text": line.line}
