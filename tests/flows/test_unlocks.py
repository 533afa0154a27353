"""Keys that are opened for minutes: in a process of their own, which dies with them."""

from __future__ import annotations

import asyncio
import base64
import configparser
import hashlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos import config
from saveos.audit import record as audit
from saveos.database.connection import Database
from saveos.errors import Locked, NotFound, TooMany, Unavailable, WrongCode
from saveos.identity.principals import Actor, Principal, Role, system
from saveos.protocol import TenantId
from saveos.repositories.keyholding import CODE_SUITE
from saveos.repositories.local_run import LOST
from saveos.repositories.unlocks import Unlocks
from saveos.tenants import recovery
from tests.support.agent import RealAgent, back_up_only
from tests.support.appliance import Appliance, wait_until
from tests.support.processes import alive, children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from saveos.repositories.model import Offer


class Registry:
    """A registry of this process on the folder of an appliance that serves beside it."""

    def __init__(self, agent: RealAgent) -> None:
        self.settings = config.load({"data": str(agent.appliance.data)}, {})
        self.database = Database(self.settings.database)
        self.unlocks = Unlocks(self.settings, self.database)
        self.principal = system(TenantId(agent.repository.parent.name), "tests")
        self.agent = agent

    async def unlock(self, minutes: float = 5, code: str = "") -> Any:
        offer = await self.unlocks.offer(self.principal)
        sealed = seal(offer, code or self.agent.appliance.recovery_code)
        return await self.unlocks.open(self.principal, offer.unlock_id, sealed, [self.agent.id], minutes)

    async def read(self, *words: str, given: bytes = b"") -> tuple[int, bytes]:
        run = await self.unlocks.start(self.principal, self.agent.id, words, given)
        parts = []
        while part := await run.read(65536):
            parts.append(part)
        return await run.finish(), b"".join(parts)


def seal(offer: Offer, code: str) -> str:
    public = X25519PublicKey.from_public_bytes(base64.b64decode(offer.public_key))
    return base64.b64encode(CODE_SUITE.encrypt(code.encode(), public, offer.info.encode())).decode()


def keyholders() -> list[int]:
    return children(os.getpid(), "saveos.repositories.keyholder")


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    folder = tmp_path_factory.mktemp("unlocks")
    (folder / "tree").mkdir()
    (folder / "tree" / "letter").write_text("Dear reader\n")
    with Appliance.started(folder / "appliance") as appliance:
        appliance.set_up()
        back_up_only(appliance, folder / "tree")
        agent = RealAgent.enrolled(appliance, folder / "host")
        agent.start_daemon()
        assert agent.first_backup()["state"] == "done"
        yield agent
        agent.stop()


@pytest.fixture
def registry(protected: RealAgent) -> Iterator[Registry]:
    made = Registry(protected)
    yield made
    made.database.close()


def actions(registry: Registry) -> list[tuple[str, object]]:
    found = audit.newest(registry.database.read, registry.principal.tenant_id, 4)
    return [(entry.action, entry.detail.get("reason")) for entry in reversed(found)]


def test_start_with_an_unlocked_host_runs_borg_on_its_repository(registry: Registry) -> None:
    async def go() -> tuple[int, bytes]:
        await registry.unlock()
        try:
            return await registry.read("borg", "list", "--short")
        finally:
            await registry.unlocks.stop()

    code, output = asyncio.run(go())

    archive = registry.agent.appliance.snapshots(registry.agent.id)[-1]["archive"]
    assert (0, archive) == (code, output.decode().strip())


def test_start_gives_the_input_and_returns_what_was_said(registry: Registry) -> None:
    async def go() -> tuple[int, str]:
        await registry.unlock()
        run = await registry.unlocks.start(
            registry.principal, registry.agent.id, ["borg", "no-such-word"], b"x" * 200_000
        )
        assert await run.read(10) == b""
        code = await run.finish()
        await registry.unlocks.stop()
        return code, run.said

    code, said = asyncio.run(go())

    assert code == 2
    assert "no-such-word" in said


def test_start_without_an_unlock_is_refused(registry: Registry) -> None:
    with pytest.raises(Locked):
        asyncio.run(registry.read("borg", "list"))


def test_unlock_ends_at_its_deadline_and_takes_its_runs_along(registry: Registry) -> None:
    async def go() -> tuple[int, list[int]]:
        await registry.unlock(minutes=2 / 60)
        pids = keyholders()
        run = await registry.unlocks.start(
            registry.principal, registry.agent.id, ["borg", "with-lock", "::", "sleep", "60"]
        )
        code = await run.finish()
        await asyncio.sleep(0.5)
        assert registry.unlocks.current(registry.principal) == []
        with pytest.raises(Locked):
            await registry.read("borg", "list")
        await registry.unlocks.stop()
        return code, pids

    begun = time.monotonic()
    code, pids = asyncio.run(go())

    assert 1.5 < time.monotonic() - begun < 10
    assert code in (LOST, -signal.SIGKILL)
    assert not any(map(alive, pids))
    assert actions(registry)[-2:] == [("keys-unlocked", None), ("keys-locked", "expired")]


def test_abort_ends_the_run_and_keeps_the_unlock(registry: Registry) -> None:
    async def go() -> tuple[int, bytes]:
        await registry.unlock()
        run = await registry.unlocks.start(
            registry.principal, registry.agent.id, ["borg", "with-lock", "::", "sleep", "60"]
        )
        await asyncio.sleep(1)
        await asyncio.wait_for(run.abort(), 5)
        result = await registry.read("borg", "list", "--short", "--lock-wait", "5")
        await registry.unlocks.stop()
        return result

    assert asyncio.run(go())[0] == 0


def test_open_with_a_wrong_code_opens_nothing_and_has_to_wait(registry: Registry) -> None:
    other, _ = recovery.create()
    guesser = Principal(actor=Actor.USER, id="usr_g", tenant_id=registry.principal.tenant_id, role=Role.ADMINISTRATOR)
    registry.principal = guesser

    async def go() -> None:
        for _ in range(5):
            with pytest.raises(WrongCode):
                await registry.unlock(code=other)
        with pytest.raises(TooMany):
            await registry.unlock()
        assert registry.unlocks.current(guesser) == []
        await registry.unlocks.stop()

    asyncio.run(go())

    assert keyholders() == []


def test_unlock_of_another_tenant_is_neither_seen_nor_used(registry: Registry) -> None:
    stranger = system(TenantId("ten_other"))

    async def go() -> None:
        unlock = await registry.unlock()
        assert registry.unlocks.current(stranger) == []
        with pytest.raises(NotFound):
            await registry.unlocks.start(stranger, registry.agent.id, ["borg", "list"])
        with pytest.raises(NotFound):
            await registry.unlocks.lock(stranger, unlock.unlock_id)
        await registry.unlocks.stop()

    asyncio.run(go())


def test_killed_keyholder_locks_its_hosts_and_fails_its_runs(registry: Registry) -> None:
    async def go() -> int:
        await registry.unlock()
        run = await registry.unlocks.start(
            registry.principal, registry.agent.id, ["borg", "with-lock", "::", "sleep", "60"]
        )
        await asyncio.sleep(1)
        os.kill(keyholders()[0], signal.SIGKILL)
        code = await asyncio.wait_for(run.finish(), 10)
        await asyncio.sleep(0.5)
        with pytest.raises((Locked, Unavailable)):
            await registry.read("borg", "list")
        await registry.unlocks.stop()
        return code

    assert asyncio.run(go()) == LOST
    assert actions(registry)[-1] == ("keys-locked", "keyholder died")


def test_killed_appliance_takes_its_keyholders_along(protected: RealAgent) -> None:
    appliance = protected.appliance
    offered = appliance.call("POST", "/api/v1/keys/unlocks").expect(201)
    assert appliance.process is not None
    pids = children(appliance.process.pid, "saveos.repositories.keyholder", offered["unlock_id"])
    assert len(pids) == 1

    appliance.kill()
    wait_until(lambda: not any(map(alive, pids)), 5, "the keyholder to end")

    appliance.start()


def test_managed_host_needs_nobody_until_it_is_sealed_again(protected: RealAgent) -> None:
    registry, appliance = Registry(protected), protected.appliance
    path = f"/api/v1/agents/{protected.id}/key"
    appliance.call("PUT", path, {"mode": "managed"}).expect(200)
    wait_until(lambda: registry.unlocks.is_open(registry.principal, protected.id), 40, "the host to seal its key")
    exported = json.loads(appliance.cli("key", "export", protected.id, stdin="\n").stdout)
    assert (protected.folder / "agent" / "passphrase").read_text().strip() == exported["passphrase"]

    async def go() -> int:
        code, _ = await registry.read("borg", "list", "--short")
        await registry.unlocks.stop()
        return code

    assert asyncio.run(go()) == 0
    assert keyholders() == []
    private = appliance.data / "keys" / "managed.key"
    assert (0o600, 32) == (private.stat().st_mode & 0o777, private.stat().st_size)
    appliance.call("PUT", path, {"mode": "sealed"}).expect(200)
    assert appliance.call("GET", path).expect(200)["mode"] == "sealed"
    with pytest.raises(Locked):
        asyncio.run(registry.read("borg", "list"))
    assert "sealed" in json.loads(appliance.cli("key", "export", protected.id, stdin="\n").stdout)["error"]["message"]
    registry.database.close()


def test_new_recovery_key_opens_a_host_that_has_sealed_to_it_and_once_confirmed_no_other_does(
    protected: RealAgent,
) -> None:
    appliance = protected.appliance
    code, public_key = recovery.create()
    check = msgspec.to_builtins(recovery.check_of(code))
    new_key = base64.b64encode(public_key).decode()

    turned = appliance.call("POST", "/api/v1/keys/kit", {"recovery_public_key": new_key, "check": check}).expect(200)
    assert (new_key, None, 0) == (turned["public_key"], turned["confirmed_at"], turned["resealing"]["resealed_count"])
    old = appliance.recovery_code
    assert appliance.cli("key", "export", protected.id, stdin=old + "\n").returncode == 0
    wait_until(
        lambda: appliance.call("GET", "/api/v1/keys/kit").expect(200)["resealing"]["resealed_count"] == 1,
        40,
        "the host to seal anew",
    )

    assert appliance.cli("key", "export", protected.id, stdin=code + "\n").returncode == 0
    assert (
        appliance.cli("key", "export", protected.id, stdin=old + "\n").returncode == 0
    )  # nobody has shown the new one
    assert appliance.cli("recovery", "confirm", stdin=code + "\n").returncode == 0
    assert appliance.cli("key", "export", protected.id, stdin=code + "\n").returncode == 0
    assert appliance.cli("key", "export", protected.id, stdin=old + "\n").returncode == 2
    appliance.recovery_code = code
    assert json.loads(protected.config.read_text())["recovery_public_key"] == new_key


def test_kit_is_confirmed_by_two_groups_of_its_code_alone(protected: RealAgent) -> None:
    appliance = protected.appliance
    code, public_key = recovery.create()
    body = {
        "recovery_public_key": base64.b64encode(public_key).decode(),
        "check": msgspec.to_builtins(recovery.check_of(code)),
    }
    kit = appliance.call("POST", "/api/v1/keys/kit", body).expect(200)
    groups = code.split("-")
    typed = "-".join(groups[number - 1] for number in kit["groups"])
    wrong = "-".join(reversed(typed.split("-")))

    def proof(text: str) -> str:
        salt = base64.b64decode(kit["salt"])
        return base64.b64encode(hashlib.pbkdf2_hmac("sha256", text.encode(), salt, recovery.ROUNDS)).decode()

    refused = appliance.call("POST", "/api/v1/keys/kit/confirm", {"proof": proof(wrong)})
    confirmed = appliance.call("POST", "/api/v1/keys/kit/confirm", {"proof": proof(typed)}).expect(200)

    assert 400 == refused.status
    assert confirmed["confirmed_at"] is not None
    assert "proof_hash" not in confirmed
    appliance.recovery_code = code


def test_host_cannot_swap_the_key_that_is_there(protected: RealAgent) -> None:
    config_of = json.loads(protected.config.read_text())
    folder = protected.config.parent / "credentials" / config_of["credentials"]
    context = protected.appliance.context(folder / "agent.pem", folder / "agent.key")
    token = (folder / "token").read_text().strip()
    sealed = base64.b64encode(b"x" * 100).decode()
    borgs = configparser.ConfigParser()
    borgs.read(protected.repository / "config")
    kit = wait_until(_resealed(protected.appliance), 40, "the host to seal to the kit of today")

    def hand_over(**more: str) -> str:
        body = {"sealed": sealed, "repository_id": borgs["repository"]["id"], **more}
        answer = protected.appliance.call(
            "POST", "/api/v1/agents/escrow", body, token=token, name="agent.saveos.internal", context=context
        )
        return str(answer.expect(409)["detail"])

    mine = base64.b64encode(b"k" * 32).decode()
    here, unasked = (
        "The sealed key of this repository is here already.",
        "Nobody asked for the key to be sealed to this.",
    )
    assert here == hand_over(public_key=kit["public_key"])
    assert [unasked] * 2 == [hand_over(public_key=mine), hand_over(public_key=mine, purpose="managed")]
    assert (
        0 == protected.appliance.cli("key", "export", protected.id, stdin=protected.appliance.recovery_code).returncode
    )


def _resealed(appliance: Appliance) -> Callable[[], Any]:
    """Return what returns the kit once the one host is sealed to it."""

    def look() -> Any:
        kit = appliance.call("GET", "/api/v1/keys/kit").expect(200)
        return kit if kit["resealing"]["resealed_count"] == 1 else None

    return look


def test_kit_is_replaced_confirmed_and_shown_by_the_command_line(protected: RealAgent) -> None:
    appliance = protected.appliance
    made = json.loads(appliance.cli("recovery", "rotate").stdout)

    wrong = appliance.cli("recovery", "confirm", stdin=appliance.recovery_code + "\n")
    appliance.recovery_code = made["recovery_code"]
    right = appliance.cli("recovery", "confirm", stdin=made["recovery_code"] + "\n")
    status = json.loads(appliance.cli("recovery", "status").stdout)

    assert (2, "wrong-recovery-code") == (wrong.returncode, json.loads(wrong.stdout)["error"]["code"])
    assert 0 == right.returncode
    assert (made["public_key"], "appliance", 1) == (status["public_key"], status["made_by"], status["hosts_count"])
    assert status["confirmed_at"] is not None
