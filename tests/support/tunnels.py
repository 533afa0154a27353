"""The main process's part around the tunnel, for tests: accept loop, `Sessions`, a plain decision who may come in."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import msgspec

from saveos.agent.tunnel import VARIABLE, TunnelSettings
from saveos.config import Settings
from saveos.errors import NotAuthenticated
from saveos.protocol import AgentId, TunnelMode
from saveos.repositories.sessions import Grant, Sessions
from tests.support.authority import Identity, SmallAuthority

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

TOKEN = "saveos_agent_00000000000a_secret"
PASSPHRASE = "a passphrase of the host"
URL = "ssh://appliance/./repository"


@dataclass
class Door:
    """Who may come in; tests change it while it is open."""

    folder: Path
    agents: dict[str, str]  # agent id by thumbprint
    grants: dict[str, Any] = field(default_factory=lambda: {"may_create": True})
    error: Exception | None = None

    async def authorise(self, serial: str, thumbprint: str, token: str, mode: TunnelMode, job_id: str | None) -> Grant:
        del serial, mode, job_id
        if self.error:
            raise self.error
        agent = self.agents.get(thumbprint)
        if agent is None or token != TOKEN:
            message = "Nobody knows you."
            raise NotAuthenticated(message)
        return Grant(agent_id=AgentId(agent), path=self.folder / "tenant" / agent, **self.grants)


class Gateway:
    """An event loop in a thread that accepts on loopback and hands everything to the registry of sessions."""

    def __init__(self, folder: Path, *, ping: float = 0.5, silence: float = 3.0, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.authority = SmallAuthority(folder / "authority")
        self.host = self.authority.issue("agt_test")
        self.ping, self.silence = ping, silence
        values: dict[str, Any] = {"reserve_bytes": 0, **settings}
        self.settings = Settings(data=str(folder / "data"), **values)
        self.written: list[str] = []  # the agents whose writing was said to be over
        self.door = Door(self.settings.repositories, {self.host.thumbprint: "agt_test"})
        self.repository = self.settings.repositories / "tenant" / "agt_test"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)  # noqa: FBT003 - its only argument
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_exc: object) -> None:
        self.call(self.sessions.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._listener.close()

    def other(self, name: str) -> Identity:
        """Return the identity of one more host."""
        identity = self.authority.issue(name)
        self.door.agents[identity.thumbprint] = name
        return identity

    def children(self) -> list[int]:
        """Return the process ids of the open sessions."""
        return [session.opening.pid for session in list(self.sessions._sessions.values()) if session.opening]

    @property
    def zygote(self) -> int:
        return self.sessions._zygote.pid or 0

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        accepting = self._loop.create_task(self._accept())
        self._ready.set()
        self._loop.run_forever()
        accepting.cancel()
        self._loop.run_until_complete(asyncio.gather(accepting, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _start(self) -> None:
        self.sessions = Sessions(
            settings=self.settings,
            authority=self.authority,  # type: ignore[arg-type]
            authorise=self.door.authorise,
            on_written=self.written.append,
            ping_seconds=self.ping,
            silence_seconds=self.silence,
        )
        await self.sessions.start()

    async def _accept(self) -> None:
        while True:
            client, _address = await self._loop.sock_accept(self._listener)
            client.setblocking(False)  # noqa: FBT003 - its only argument
            self.sessions.accept(client)


@dataclass
class Host:
    """A host with Borg whose only way to its repository is the tunnel."""

    gateway: Gateway
    folder: Path
    identity: Identity
    token: str = TOKEN
    is_plain: bool = False  # Borg as it is, not quickened by the agent's engine
    address: str = ""

    @classmethod
    def made(cls, gateway: Gateway, folder: Path, **other: Any) -> Host:
        folder.mkdir(parents=True, exist_ok=True)
        return cls(**{"gateway": gateway, "folder": folder, "identity": gateway.host, **other})

    def environment(self, mode: TunnelMode = TunnelMode.WRITE) -> dict[str, str]:
        path = self.folder / f"tunnel-{mode}.json"
        token = self.folder / "token"
        token.write_text(self.token)
        settings = TunnelSettings(
            addresses=(self.address or self.gateway.address,),
            root_certificate_path=str(self.gateway.authority.trust_path),
            certificate_path=str(self.identity.certificate_path),
            key_path=str(self.identity.key_path),
            token_path=str(token),
            mode=mode,
            ping_seconds=self.gateway.ping,
            silence_seconds=self.gateway.silence,
        )
        path.write_bytes(msgspec.json.encode(settings))
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BORG_")}
        return kept | {
            VARIABLE: str(path),
            "BORG_RSH": f"{sys.executable} -m saveos.agent.tunnel",
            "BORG_REPO": URL,
            "BORG_BASE_DIR": str(self.folder / "borg"),
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_NEW_PASSPHRASE": PASSPHRASE,
            "BORG_EXIT_CODES": "modern",
            "BORG_HOST_ID": "test-host",  # without a network card Borg makes one up: no lock is ever stale
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "BORG_SELFTEST": "disabled",
        }

    def words(self, *arguments: str) -> list[str]:
        module = "borg" if self.is_plain else "saveos.agent.engine"
        return [sys.executable, "-m", module, "--log-json", "--lock-wait", "10", *arguments]

    def start(self, *arguments: str, mode: TunnelMode = TunnelMode.WRITE, **how: Any) -> subprocess.Popen[bytes]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how}
        return subprocess.Popen(self.words(*arguments), env=self.environment(mode), **pipes)

    def borg(
        self, *arguments: str, mode: TunnelMode = TunnelMode.WRITE, rc: int | None = 0, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Borg; fail unless it ends with `rc`."""
        done = subprocess.run(
            self.words(*arguments), env=self.environment(mode), capture_output=True, text=True, timeout=120,
            check=False, cwd=cwd,
        )  # fmt: skip
        assert rc is None or rc == done.returncode, (arguments, done.returncode, done.stderr[-3000:])
        return done

    def init(self) -> None:
        """Create the repository and end the time in which that may be done."""
        self.gateway.door.grants["may_create"] = True
        self.borg("init", "--encryption", "repokey-blake2")
        self.gateway.door.grants["may_create"] = False

    def names(self, *flags: str) -> list[str]:
        """Return the archives, oldest first."""
        return self.borg("list", "--short", *flags, mode=TunnelMode.READ).stdout.split()
