"""Files out of snapshots: /api/v1/snapshots/{id}/download, tickets for browsers, and the streams of hosts."""

from __future__ import annotations

import asyncio
from email.utils import format_datetime
from typing import Annotated, Any

import msgspec
from litestar import Controller, Request, Response, get, post, route
from litestar.params import Parameter
from litestar.response import Stream
from msgspec import Meta

from saveos.agents.model import AgentIdentity
from saveos.agents.streams import Hanged
from saveos.api.problems import documented, problem
from saveos.api.sending import Download, disposition, file_name, tag, wanted_range
from saveos.errors import InvalidRequest, SaveOSError
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.protocol import AnswerReceipt, Chosen, Count, EntryPath, ReadForm, ReadOrder
from saveos.snapshots import reading, reading_copy
from saveos.snapshots.reading import Reading

MEDIA = {
    ReadForm.FILE: "application/octet-stream",
    ReadForm.ZIP: "application/zip",
    ReadForm.TAR_ZST: "application/zstd",
}
SANDBOX = "sandbox; default-src 'none'"  # whatever the file is, it is not run as a page of ours

IdPath = Annotated[str, Parameter(max_length=64, description="Id of a snapshot")]
PathQuery = Annotated[str, Parameter(min_length=1, max_length=4096, description="Path inside the snapshot")]
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
        await asyncio.to_thread(reading.require_known, parts.means, principal, snapshot_id)
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
        with parts.tickets.spent(principal, ticket) as found:
            return await _download(request, principal, parts, found.snapshot_id, found.order)


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


async def _download(
    request: Request[Any, Any, Any], principal: Principal, parts: Parts, snapshot_id: str, order: ReadOrder
) -> Stream:
    """Begin to read and return the response. Raises what `begin_anywhere` raises."""
    wanted = asked(request, snapshot_id, order)
    return await sent(await reading_copy.begin_anywhere(parts.means, principal, snapshot_id, wanted.order), wanted)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the request's headers and method want it. `tag`: stands for the bytes."""

    order: ReadOrder
    tag: str
    is_range: bool


def asked(request: Request[Any, Any, Any], snapshot_id: str, order: ReadOrder) -> Asked:
    """Return what a request wants of an order."""
    tag_ = tag(snapshot_id, order)
    wanted = wanted_range(request, tag_) if order.form is ReadForm.FILE else None
    if wanted is not None:
        order = msgspec.structs.replace(order, first_byte=wanted[0], last_byte=wanted[1])
    order = msgspec.structs.replace(order, is_head_only=request.method == "HEAD")
    return Asked(order=order, tag=tag_, is_range=wanted is not None)


async def sent(begun: Reading, wanted: Asked) -> Stream:
    """Return the response that sends a reading and closes it at last; when there is none, it is closed here."""
    is_part = wanted.is_range and begun.head.size_bytes != 0  # an empty file has no part: all of it is sent
    try:
        return Download(begun, 206 if is_part else 200, _headers(begun, wanted.order, wanted.tag, is_part=is_part))
    except BaseException:
        await begun.close()
        raise


def _headers(begun: Reading, order: ReadOrder, tag_: str, *, is_part: bool) -> dict[str, str]:
    head = begun.head
    headers = {
        "content-type": MEDIA[order.form],
        "content-disposition": disposition(file_name(begun, order)),
        "content-security-policy": SANDBOX,
        "cache-control": "private, no-store",
        "x-content-type-options": "nosniff",
    }
    if head.size_bytes is not None:
        headers["content-length"] = str(head.size_bytes)
    if order.form is ReadForm.FILE:
        headers |= {"accept-ranges": "bytes", "etag": tag_}
        if head.modified_at is not None:
            headers["last-modified"] = format_datetime(head.modified_at, usegmt=True)
    if is_part:
        last = head.first_byte + (head.size_bytes or 0) - 1
        headers["content-range"] = f"bytes {head.first_byte}-{last}/{head.whole_bytes}"
    return headers
