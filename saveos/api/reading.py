"""Files out of snapshots: /api/v1/snapshots/{id}/download, tickets for browsers, and the streams of hosts."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import unicodedata
from collections.abc import Mapping
from email.utils import format_datetime
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import Controller, Request, Response, get, post, route
from litestar.params import Parameter
from litestar.response import Stream
from msgspec import Meta

from saveos.agents.model import AgentIdentity
from saveos.agents.streams import Hanged
from saveos.api.problems import documented, problem
from saveos.errors import InvalidRequest, SaveOSError
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.protocol import AnswerReceipt, Chosen, Count, EntryPath, ReadForm, ReadOrder
from saveos.snapshots import reading
from saveos.snapshots.reading import Reading, SourceLost

log = logging.getLogger("saveos.api")
RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))")  # one; of several the whole file is sent
MEDIA = {
    ReadForm.FILE: "application/octet-stream",
    ReadForm.ZIP: "application/zip",
    ReadForm.TAR_ZST: "application/zstd",
}
SANDBOX = "sandbox; default-src 'none'"  # whatever the file is, it is not run as a page of ours
NAME_LENGTH = 150
END_SECONDS = 0.05

IdPath = Annotated[str, Parameter(max_length=64, description="Id of a snapshot")]
PathQuery = Annotated[str, Parameter(min_length=1, max_length=16384, description="Path inside the snapshot")]
PlaceQuery = Annotated[int | None, Parameter(ge=0, le=2**62, description="Where the catalogue says that it lies")]
FormQuery = Annotated[ReadForm, Parameter(description="As itself, or packed with all that is in it")]


class DownloadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Files and folders to pack; of `form` file exactly one. `places`: of the same paths, as the catalogue says."""

    paths: Annotated[list[Annotated[EntryPath, Meta(min_length=1)]], Meta(min_length=1, max_length=1000)]
    places: Annotated[list[Count | None], Meta(max_length=1000)] = []
    form: ReadForm = ReadForm.ZIP


class DownloadTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Where it is fetched: once, within two minutes, by who asked."""

    url: str


class Downloads(Controller):
    """What people fetch."""

    path = "/api/v1"
    tags = ("downloads",)
    opt = {"exclude_from_compression": True}  # noqa: RUF012 - a length that is promised is kept

    @get(
        "/snapshots/{snapshot_id:str}/download",
        summary="Download a file of a snapshot",
        responses=documented(409, 416, 502),
    )
    async def download(
        self,
        snapshot_id: IdPath,
        path: PathQuery,
        request: Request[Any, Any, Any],
        principal: Principal,
        parts: Parts,
        place: PlaceQuery = None,
        form: FormQuery = ReadForm.FILE,
    ) -> Stream:
        """Fetch a file as itself (with ranges, to resume), or a folder packed, from its host or its unlocked key."""
        order = ReadOrder(archive="", chosen=(Chosen(path=path, place=place),), form=form)
        return await _download(request, principal, parts, snapshot_id, order)

    @route("/snapshots/{snapshot_id:str}/download", http_method=["HEAD"], status_code=200, include_in_schema=False)
    async def look(
        self,
        snapshot_id: IdPath,
        path: PathQuery,
        request: Request[Any, Any, Any],
        principal: Principal,
        parts: Parts,
        place: PlaceQuery = None,
        form: FormQuery = ReadForm.FILE,
    ) -> Stream:
        """Say what GET would send, without a body."""
        order = ReadOrder(archive="", chosen=(Chosen(path=path, place=place),), form=form)
        return await _download(request, principal, parts, snapshot_id, order)

    @post(
        "/snapshots/{snapshot_id:str}/download",
        summary="Ask for a download",
        status_code=201,
        responses=documented(),
    )
    async def ask(
        self, snapshot_id: IdPath, data: DownloadRequest, principal: Principal, parts: Parts
    ) -> DownloadTicket:
        """Get an address from which a browser fetches several files packed: once, soon, signed in as now."""
        if data.places and len(data.places) != len(data.paths):
            raise InvalidRequest("There are as many places as paths, or none.", field="places")
        places = data.places or [None] * len(data.paths)
        chosen = tuple(Chosen(path=path, place=place) for path, place in zip(data.paths, places, strict=True))
        order = ReadOrder(archive="", chosen=chosen, form=data.form)
        reading.require_possible(order)
        return DownloadTicket(url=f"/api/v1/downloads/{parts.tickets.issue(principal, snapshot_id, order)}")

    @get("/downloads/{ticket:str}", summary="Fetch a download", responses=documented(409, 416, 502))
    async def fetch(
        self,
        ticket: Annotated[str, Parameter(max_length=64, description="From the answer to the request")],
        request: Request[Any, Any, Any],
        principal: Principal,
        parts: Parts,
    ) -> Stream:
        """Fetch what was asked for; once it begins, the address is used up."""
        found = parts.tickets.look(principal, ticket)
        answer = await _download(request, principal, parts, found.snapshot_id, found.order)
        parts.tickets.spend(ticket)
        return answer


class HostStreams(Controller):
    """What hosts send to those who wait."""

    path = "/api/v1/agents/self/streams"
    tags = ("agent protocol",)

    @post(
        "/{question_id:str}",
        summary="Answer with a stream",
        status_code=200,
        responses=documented(410),
        request_max_body_size=None,
    )
    async def stream(
        self,
        question_id: Annotated[str, Parameter(max_length=64, description="Id of a question")],
        request: Request[Any, Any, Any],
        agent: AgentIdentity,
        parts: Parts,
    ) -> Response[AnswerReceipt]:
        """Answer a question by frames of data, as long as somebody takes them; a frame says that it is whole."""
        try:
            stream = parts.streams.take(agent.agent_id, question_id)
            try:
                async for part in request.stream():
                    await stream.feed(part)
            finally:
                stream.end()
        except Hanged:
            response: Response[Any] = problem(410, "gone", "Nobody waits for this stream any more.")
        except SaveOSError as error:
            response = problem(error.status, error.code, error.message)
        else:
            return Response(AnswerReceipt())
        response.headers["connection"] = "close"  # the rest of the body is not read
        return response


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


async def _download(
    request: Request[Any, Any, Any], principal: Principal, parts: Parts, snapshot_id: str, order: ReadOrder
) -> Stream:
    """Begin to read and return the response. Raises what `reading.begin` raises."""
    tag = _tag(snapshot_id, order)
    wanted = _range(request, tag) if order.form is ReadForm.FILE else None
    if wanted is not None:
        order = msgspec.structs.replace(order, first_byte=wanted[0], last_byte=wanted[1])
    order = msgspec.structs.replace(order, is_head_only=request.method == "HEAD")
    begun = await reading.begin(parts.means, principal, snapshot_id, order)
    head = begun.head
    headers = {
        "content-type": MEDIA[order.form],
        "content-disposition": disposition(_name(begun, order)),
        "content-security-policy": SANDBOX,
        "cache-control": "private, no-store",
        "x-content-type-options": "nosniff",
    }
    if head.size_bytes is not None:
        headers["content-length"] = str(head.size_bytes)
    if order.form is ReadForm.FILE:
        headers |= {"accept-ranges": "bytes", "etag": tag}
        if head.modified_at is not None:
            headers["last-modified"] = format_datetime(head.modified_at, usegmt=True)
    if wanted is not None:
        last = head.first_byte + (head.size_bytes or 0) - 1
        headers["content-range"] = f"bytes {head.first_byte}-{last}/{head.whole_bytes}"
    return Download(begun, 206 if wanted is not None else 200, headers)


def _tag(snapshot_id: str, order: ReadOrder) -> str:
    """Return what stands for the bytes: a snapshot's file never changes."""
    text = "\0".join((snapshot_id, order.form, *(chosen.path for chosen in order.chosen)))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _range(request: Request[Any, Any, Any], tag: str) -> tuple[int, int | None] | None:
    """Return (first byte, last byte) of a range that is asked for, negative from the end. RFC 9110 § 14."""
    found = RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if found is None or request.headers.get("if-range", tag) != tag:
        return None
    first, last, final = found.groups()
    if final is not None:
        return (-int(final), None) if int(final) else (2**62, None)
    if last is not None and int(last) < int(first):
        return None
    return int(first), int(last) if last is not None else None


def _name(begun: Reading, order: ReadOrder) -> str:
    if order.form is ReadForm.FILE:
        return order.chosen[0].path.rstrip("/").rpartition("/")[2] or "file"
    return f"{begun.host.hostname}-{begun.host.snapshot.started_at:%Y-%m-%d}.{order.form.value}"


def disposition(name: str) -> str:
    """Return the header that names a file to be saved: RFC 6266, with nothing in it that could mislead."""
    shown = "".join("_" if unicodedata.category(sign)[0] == "C" or sign in '/\\:*?"<>|' else sign for sign in name)
    shown = shown.strip(". ")[:NAME_LENGTH] or "file"
    plain = "".join(sign if " " <= sign <= "~" and sign != "%" else "_" for sign in shown)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(shown, safe='')}"
