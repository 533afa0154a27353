"""The registry of the tunnel's sessions: who may come in, who has to wait, who has to go. In the main process."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

import msgspec

from saveos.errors import SaveOSError
from saveos.protocol import PING_SECONDS, SILENCE_SECONDS, AgentId, TunnelMode, TunnelRefusal
from saveos.repositories.handover import Grant, Opening, Options
from saveos.repositories.limits import Limits, Writing
from saveos.repositories.session import Session, SessionFacts
from saveos.repositories.zygote import Zygote

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from saveos.certificates.authority import Authority
    from saveos.config import Settings

    Authorise = Callable[[str, str, str, TunnelMode, str | None], Awaitable[Grant]]
    OnWritten = Callable[[AgentId], None]

__all__ = ["Grant", "Sessions"]

log = logging.getLogger("saveos.sessions")

OPENING_SECONDS = 20.0
SESSIONS_LIMIT = 1000
UNKNOWN_LIMIT = 64  # connections that have not said yet who they are
REVALIDATE_SECONDS = 2.0
RELAXED_SECONDS = 60.0
LIMITS_SECONDS = 1.0
SUPERSEDED = TunnelRefusal(
    code="superseded", message="A newer session of this host writes to the repository.", retry_seconds=30
)
UPKEEP = TunnelRefusal(
    code="repository-locked", message="The appliance works on this repository itself for a while.", retry_seconds=30
)
STOPPING = TunnelRefusal(code="stopping", message="The appliance is stopping. Try again soon.", retry_seconds=10)


class Sessions:
    """All sessions of the tunnel. Methods are called in the event loop that `start` ran in."""

    def __init__(
        self,
        *,
        settings: Settings,
        authority: Authority,
        authorise: Authorise,
        on_written: OnWritten = lambda _agent_id: None,
        limits: Limits | None = None,
        ping_seconds: float = PING_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        """Keep what is needed; nothing runs yet. `authorise` returns a grant or raises SaveOSError.

        `on_written` is called in a thread whenever the last session that wrote to a repository has gone, and before
        the next one begins. `limits` None: nothing but the disk's reserve.
        """
        self._settings, self._on_written = settings, on_written
        self._limits = limits or Limits(settings, None)
        self._authorise = authorise
        self._zygote = Zygote(
            Options(
                certificate_path=str(authority.server_chain_path),
                key_path=str(authority.server_key_path),
                trust_path=str(authority.trust_path),
                borg_home=str(settings.borg_home),
                ping_seconds=ping_seconds,
                silence_seconds=silence_seconds,
            )
        )
        self._places = asyncio.Semaphore(settings.writers)
        self._numbers = itertools.count(1)
        self._sessions: dict[int, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: list[asyncio.Task[None]] = []
        self._is_stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Start the tunnel's process; it is kept alive until `stop`."""
        self._loop = asyncio.get_running_loop()
        self._settings.borg_home.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._zygote.start()
        self._watches = [asyncio.create_task(work()) for work in (self._revalidate, self._keep_limits)]

    async def stop(self) -> None:
        """End every session, each with its lock released, then the tunnel's process."""
        self._is_stopping = True
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*(session.end(STOPPING) for session in list(self._sessions.values())))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._zygote.stop()

    def accept(self, client: socket.socket) -> None:
        """Take over a connection that nobody has read from yet."""
        unknown = sum(session.opening is None for session in self._sessions.values())
        if self._is_stopping or unknown >= UNKNOWN_LIMIT or len(self._sessions) >= SESSIONS_LIMIT:
            client.close()
            return
        session = Session(next(self._numbers))
        self._sessions[session.number] = session
        task = asyncio.get_running_loop().create_task(self._run(session, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def is_held(self, agent_id: AgentId, *, is_reading_too: bool) -> bool:
        """Return whether a session has an agent's repository open to write, or at all. From any thread."""
        return bool(self._holding(agent_id, is_reading_too=is_reading_too))

    def end_of(self, agent_id: AgentId, *, is_reading_too: bool) -> None:
        """End the sessions that write to an agent's repository, or all. From any thread; does not wait for it."""
        if self._loop is not None:
            coroutine = self._end(self._holding(agent_id, is_reading_too=is_reading_too), UPKEEP)
            asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _holding(self, agent_id: AgentId, *, is_reading_too: bool) -> list[Session]:
        sessions = (session for session in list(self._sessions.values()) if session.agent_id == agent_id)
        return [session for session in sessions if is_reading_too or session.is_writing]

    def listing(self) -> list[SessionFacts]:
        """Return the sessions of known agents, oldest first. From any thread."""
        return [session.facts() for session in list(self._sessions.values()) if session.agent_id]

    async def _run(self, session: Session, client: socket.socket) -> None:
        admission: asyncio.Task[Grant] | None = None
        try:
            await session.connect(self._zygote, client)
            opening = await asyncio.wait_for(session.hear(), OPENING_SECONDS)
            if opening is None:
                return
            admission = asyncio.create_task(self._admit(session, opening))
            gone = asyncio.create_task(session.wait_until_gone())
            await asyncio.wait({admission, gone}, return_when=asyncio.FIRST_COMPLETED)
            if admission.done():
                session.answer(admission)
            await gone
        except (OSError, TimeoutError, msgspec.DecodeError, ValueError) as error:
            log.info("A connection was not handed over: %s", error)
        finally:
            client.close()
            if admission and not admission.done():
                admission.cancel()
                await asyncio.wait({admission})
            session.close()
            if session.is_open and session.is_writing:
                await self._note_written(session)
            del self._sessions[session.number]
            if session.has_place:
                self._places.release()

    async def _admit(self, session: Session, opening: Opening) -> Grant:
        """Return what the session gets, once it may have it. Raises SaveOSError."""
        grant = await self._authorise(opening.serial, opening.thumbprint, opening.token, opening.mode, opening.job_id)
        session.agent_id = grant.agent_id
        if opening.mode is TunnelMode.WRITE:
            older = [
                other
                for other in self._sessions.values()
                if other.agent_id == grant.agent_id and other.is_writing and other.number < session.number
            ]
            await self._end(older, SUPERSEDED)
            await asyncio.to_thread(self._on_written, grant.agent_id)
            await self._places.acquire()
            session.has_place = True
            grant = await asyncio.to_thread(self._limits.admit, grant, self._writing())
        session.grant = grant
        session.is_open = True
        return grant

    async def _note_written(self, session: Session) -> None:
        """Tell that a session has written, unless another one of its host is at it: that one's end will tell."""
        others = (other for other in self._sessions.values() if other.number != session.number)
        if any(other.agent_id == session.agent_id and other.is_writing and other.is_open for other in others):
            return
        try:
            assert session.agent_id is not None  # noqa: S101 - an open session has one
            await asyncio.to_thread(self._on_written, session.agent_id)
        except Exception:
            log.exception("What a session wrote could not be judged; the next one, or the next start, does.")

    async def _end(self, sessions: list[Session], reason: TunnelRefusal) -> None:
        await asyncio.gather(*(session.end(reason) for session in sessions))

    def _writing(self) -> list[Writing]:
        """Return the open sessions that write."""
        return [
            Writing(
                agent_id=session.grant.agent_id,
                stored_bytes=session.grant.stored_bytes,
                added_bytes=session.added_bytes,
                is_pruning=session.grant.is_pruning,
                job_id=session.grant.job_id,
            )
            for session in self._sessions.values()
            if session.is_open and session.is_writing and session.grant is not None
        ]

    async def _keep_limits(self) -> None:
        """Look again and again at what sessions write, and at the disk; those that are beyond a limit have to go."""
        while True:
            await asyncio.sleep(LIMITS_SECONDS)
            try:
                over = await asyncio.to_thread(self._limits.over, self._writing())
            except Exception:
                log.exception("The limits could not be looked at.")
                continue
            for session in list(self._sessions.values()):
                refusal = over.get(session.agent_id) if session.agent_id else None
                if refusal is None or session.is_stopped or not (session.is_open and session.is_writing):
                    continue
                session.is_stopped = True
                log.warning("A session of %s is ended: %s", session.agent_id, refusal.code)
                task = asyncio.create_task(session.end(refusal))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _revalidate(self) -> None:
        """Ask again and again whether the agents of open sessions are still welcome.

        A revocation may come from another process. A certificate that has merely been replaced since does not end a
        long backup: its session is only asked after less often.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(REVALIDATE_SECONDS)
            for session in [one for one in self._sessions.values() if one.is_open and not one.is_stopped]:
                opening = session.opening
                if opening is None or loop.time() < session.next_check_at:
                    continue
                try:
                    await self._authorise(
                        opening.serial, opening.thumbprint, opening.token, opening.mode, opening.job_id
                    )
                except SaveOSError as error:
                    if error.code == "not-authenticated":
                        session.next_check_at = loop.time() + RELAXED_SECONDS
                        continue
                    session.is_stopped = True  # what it has written is still to be judged once it is gone
                    refusal = TunnelRefusal(code=error.code, message=error.message)
                    task = asyncio.create_task(session.end(refusal))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                except Exception:
                    log.exception("A session could not be checked again.")
