"""A keyholder whose answer is missed, and runs that nobody waits for any more."""

from __future__ import annotations

import asyncio
import base64
import os
import signal

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos.errors import Unavailable
from saveos.protocol import ESCROW_INFO, AgentId, EscrowContents
from saveos.repositories import holder as holders
from saveos.repositories import sealing
from saveos.repositories.holder import Holder
from saveos.repositories.keyholding import CODE_INFO, CODE_SUITE, Open, Seal, SealedHost
from saveos.tenants import recovery
from tests.support.appliance import wait_until
from tests.support.processes import children

HOST = AgentId("agt_1")


def order_to(holder: Holder, unlock_id: str) -> Open:
    """Return the order to open one host's key with the right code."""
    code, public_key = recovery.create()
    contents = EscrowContents(passphrase="p", key_export="k", repository_id="0" * 64, agent_id=HOST, hostname="h")
    public = X25519PublicKey.from_public_bytes(public_key)
    sealed = sealing.SUITE.encrypt(msgspec.json.encode(contents), public, ESCROW_INFO + HOST.encode())
    seal = Seal(public_key=sealing.as_text(public_key), sealed=base64.b64encode(sealed).decode())
    theirs = X25519PublicKey.from_public_bytes(base64.b64decode(holder.public_key))
    typed = CODE_SUITE.encrypt(code.encode(), theirs, CODE_INFO + unlock_id.encode())
    host = SealedHost(agent_id=HOST, path="/nowhere", seals=(seal,))
    return Open(hosts=(host,), seconds=60, sealed_code=base64.b64encode(typed).decode())


def test_keyholder_that_answers_too_late_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        holder = await Holder.spawned("unl_late", lambda: None)
        monkeypatch.setattr(holders, "ANSWER_SECONDS", 0.5)
        os.kill(holder.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable):
            await holder.open(order_to(holder, "unl_late"))
        os.kill(holder.pid, signal.SIGCONT)
        await asyncio.sleep(0.5)
        with pytest.raises(Unavailable):  # and not with the answer to the order before
            await holder.open(Open(hosts=(), seconds=60, sealed_code="?"))
        await holder.stop()

    asyncio.run(go())


def test_start_that_nobody_waits_for_ends_its_run_and_no_other() -> None:
    async def go() -> bytes:
        holder = await Holder.spawned("unl_left", lambda: None)
        await holder.open(order_to(holder, "unl_left"))
        os.kill(holder.pid, signal.SIGSTOP)
        left = asyncio.create_task(holder.start(HOST, ["lend"], b""))
        await asyncio.sleep(0.2)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        os.kill(holder.pid, signal.SIGCONT)

        with pytest.raises(Unavailable, match="locked"):  # and not with the answer to the start before
            await holder.start(AgentId("agt_unknown"), ["--version"], b"")
        await asyncio.to_thread(wait_until, lambda: not children(holder.pid), 10, "the run to end")
        run = await holder.start(HOST, ["--version"], b"")
        said = await run.read(1000)
        await run.finish()
        await holder.stop()
        return said

    assert b"." in asyncio.run(go())
