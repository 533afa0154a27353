"""Files out of a copy, by the verb, with the appliance's own key: the keyholder and its reader are real processes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos.agents.model import KeyMode
from saveos.agents.streams import Streams
from saveos.offsite.reaches import Reaches
from saveos.protocol import ESCROW_INFO, Chosen, EscrowContents, ReadForm, ReadOrder
from saveos.repositories import managed, sealing, table_keys
from saveos.repositories.model import Purpose
from saveos.repositories.unlocks import Unlocks
from saveos.snapshots import reading_copy
from saveos.snapshots.reading import Means
from tests.support.offsite import PASSPHRASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from saveos.snapshots.reading import Reading
    from tests.support.offsite import Copying


def hand_over_key(copying: Copying) -> None:
    """Let the appliance open the host's key by itself."""
    database, agent_id = copying.world.database, copying.agent_id
    public = managed.public_key(copying.world.settings)
    contents = EscrowContents(
        passphrase=PASSPHRASE, key_export="", repository_id="ab", agent_id=agent_id, hostname="atelier"
    )
    sealed = sealing.SUITE.encrypt(
        msgspec.json.encode(contents), X25519PublicKey.from_public_bytes(public), ESCROW_INFO + agent_id.encode()
    )
    text = base64.b64encode(sealed).decode()
    database.write(lambda connection: table_keys.set_mode(connection, agent_id, KeyMode.MANAGED))
    database.write(lambda connection: table_keys.put(connection, agent_id, public, Purpose.MANAGED, text))


class Readers:
    """What the event loop of an appliance has for it."""

    def __init__(self, copying: Copying) -> None:
        self.copying = copying
        database, settings = copying.world.database, copying.world.settings
        self.reaches = Reaches(settings, database)
        self.unlocks = Unlocks(settings, database)
        self.means = Means(database=database, streams=Streams(), unlocks=self.unlocks, reaches=self.reaches)

    async def begin(self, path: str, snapshot: str = "", form: ReadForm = ReadForm.FILE) -> Reading:
        copying = self.copying
        number = copying.generations[0].number
        snapshot_id = (
            snapshot
            or reading_copy.contents(
                copying.world.database, copying.world.settings, copying.world.principal, copying.agent_id, number
            )
            .snapshots[-1]
            .id
        )
        order = ReadOrder(archive="", chosen=(Chosen(path=path),), form=form)
        principal = copying.world.principal
        return await reading_copy.begin(self.means, principal, copying.agent_id, number, snapshot_id, order)

    async def read(self, path: str, **more: Any) -> bytes:
        begun = await self.begin(path, **more)
        try:
            return b"".join([part async for part in begun.body()])
        finally:
            await begun.close()


@contextlib.asynccontextmanager
async def readers(copying: Copying) -> AsyncIterator[Readers]:
    made = Readers(copying)
    try:
        yield made
    finally:
        await made.unlocks.stop()
        await made.reaches.stop()


def read(copying: Copying, path: str, **more: Any) -> bytes:
    """Read a file out of the newest generation, and leave."""

    async def go() -> bytes:
        async with readers(copying) as made:
            return await made.read(path, **more)

    return asyncio.run(go())
