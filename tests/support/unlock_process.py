"""A registry of unlocks in a process of its own, told by lines of JSON what to do: its memory is searched."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

import msgspec

from saveos import config
from saveos.database.connection import Database
from saveos.identity.principals import system
from saveos.protocol import TenantId
from saveos.repositories.unlocks import Unlocks


def tell(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


async def main() -> None:
    settings = config.load({"data": sys.argv[1]}, {})
    principal = system(TenantId(sys.argv[2]), "tests")
    unlocks = Unlocks(settings, Database(settings.database))
    offer = await unlocks.offer(principal)
    tell(**msgspec.to_builtins(offer))
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        if "sealed_code" in order:
            await unlocks.open(principal, offer.unlock_id, order["sealed_code"])
            tell(opened=True)
        elif "words" in order:
            run = await unlocks.start(principal, order["agent_id"], order["words"])
            parts = []
            while part := await run.read(1 << 20):
                parts.append(part)
            tell(code=await run.finish(), sha256=hashlib.sha256(b"".join(parts)).hexdigest())
        else:
            await unlocks.lock(principal, offer.unlock_id)
            tell(locked=True)


if __name__ == "__main__":
    asyncio.run(main())
