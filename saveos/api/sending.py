"""How a reading becomes a response: the range asked for, the file's name, and the cut when it is not whole."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from litestar.response import Stream

from saveos.protocol import ReadForm
from saveos.snapshots.reading import SourceLost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar import Request

    from saveos.protocol import ReadOrder
    from saveos.snapshots.reading import Reading

log = logging.getLogger("saveos.api")
RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))")  # one; of several the whole file is sent
NAME_LENGTH = 150
END_SECONDS = 0.05


class Download(Stream):
    """The response of a reading that has begun."""

    def __init__(self, reading: Reading, status: int, headers: dict[str, str]) -> None:
        """Send it with these headers."""
        super().__init__(iter(()), status_code=status, headers=headers)
        self._reading = reading

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return what sends it."""
        return _Sending(self._reading, self.status_code or 200, self.headers)


class _Sending:
    """Sends a reading; what ends too early lacks its end, and the connection closes."""

    def __init__(self, reading: Reading, status: int, headers: Mapping[str, str]) -> None:
        self._reading, self._status = reading, status
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        tasks: list[asyncio.Future[None]] = []
        try:
            await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
            tasks = [asyncio.ensure_future(self._send(send)), asyncio.ensure_future(_until_gone(receive))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._reading.close()
            await asyncio.gather(*map(_end, tasks), return_exceptions=True)

    async def _send(self, send: Any) -> None:
        try:
            async for part in self._reading.body():
                await send({"type": "http.response.body", "body": part, "more_body": True})
        except SourceLost as lost:
            log.warning("A download of snapshot %s was cut off (%s).", self._reading.host.snapshot.id, lost)
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _end(task: asyncio.Future[None]) -> None:
    """Cancel a task until it ends: `asyncio.wait_for` may swallow the first time (CPython 3.11)."""
    while not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=END_SECONDS)


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def tag(snapshot_id: str, order: ReadOrder) -> str:
    """Return what stands for the bytes: a snapshot's file never changes."""
    text = "\0".join((snapshot_id, order.form, *(chosen.path for chosen in order.chosen)))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def wanted_range(request: Request[Any, Any, Any], tag_: str) -> tuple[int, int | None] | None:
    """Return (first byte, last byte) of a range that is asked for, negative from the end. RFC 9110 § 14."""
    found = RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if found is None or request.headers.get("if-range", tag_) != tag_:
        return None
    first, last, final = found.groups()
    if final is not None:
        return (-int(final), None) if int(final) else (2**62, None)
    if last is not None and int(last) < int(first):
        return None
    return int(first), int(last) if last is not None else None


def file_name(begun: Reading, order: ReadOrder) -> str:
    """Return how a download is called: as the file is, or by host and day."""
    if order.form is ReadForm.FILE:
        return order.chosen[0].path.rstrip("/").rpartition("/")[2] or "file"
    return f"{begun.host.hostname}-{begun.host.snapshot.started_at:%Y-%m-%d}.{order.form.value}"


def disposition(name: str) -> str:
    """Return the header that names a file to be saved: RFC 6266, with nothing in it that could mislead."""
    shown = "".join("_" if unicodedata.category(sign)[0] == "C" or sign in '/\\:*?"<>|' else sign for sign in name)
    shown = shown.strip(". ")[:NAME_LENGTH] or "file"
    plain = "".join(sign if " " <= sign <= "~" and sign != "%" else "_" for sign in shown)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"
