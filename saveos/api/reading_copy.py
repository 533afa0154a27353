"""Files straight out of offsite copies: what a generation holds, and /download of one of its snapshots."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get
from litestar.di import Provide
from litestar.params import Parameter
from litestar.response import Stream

from saveos.api.agents import AgentIdPath
from saveos.api.problems import documented
from saveos.api.reading import FormQuery, IdPath, PathQuery, PlaceQuery, asked, sent
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.protocol import Chosen, ReadForm, ReadOrder
from saveos.snapshots import reading_copy
from saveos.snapshots.reading_copy import CopyContents

NumberPath = Annotated[int, Parameter(ge=1, le=2**53, description="Number of a generation")]


def provide_order(path: PathQuery, place: PlaceQuery = None, form: FormQuery = ReadForm.FILE) -> ReadOrder:
    """Return what is asked for."""
    return ReadOrder(archive="", chosen=(Chosen(path=path, place=place),), form=form)


class CopyDownloads(Controller):
    """What people fetch out of copies."""

    path = "/api/v1/agents/{agent_id:str}/offsite/generations/{number:int}"
    tags = ("offsite",)
    opt = {"exclude_from_compression": True}  # noqa: RUF012 - a length that is promised is kept

    @get(summary="Show what a generation holds", sync_to_thread=True, responses=documented(502))
    def contents(self, agent_id: AgentIdPath, number: NumberPath, principal: Principal, parts: Parts) -> CopyContents:
        """Read in the store what a generation of a host's copy holds: its snapshots, whatever became of them here."""
        return reading_copy.contents(parts.database, parts.settings, principal, agent_id, number)

    @get(
        "/snapshots/{snapshot_id:str}/download",
        summary="Download a file of an offsite copy",
        dependencies={"order": Provide(provide_order, sync_to_thread=False)},
        responses=documented(409, 416, 502, 507),
    )
    async def download(
        self,
        agent_id: AgentIdPath,
        number: NumberPath,
        snapshot_id: IdPath,
        order: ReadOrder,
        request: Request[Any, Any, Any],
        principal: Principal,
        parts: Parts,
    ) -> Stream:
        """Fetch a file, or a folder packed, with an unlocked key: of the copy only what is needed travels."""
        wanted = asked(request, snapshot_id, order)
        return await sent(
            await reading_copy.begin(parts.means, principal, agent_id, number, snapshot_id, wanted.order), wanted
        )
