"""One connection of an agent, in a process of its own: handshake, admission by the main process, Borg, farewell."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import select
import signal
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.protocol import Frame, TunnelHello, TunnelRefusal
from saveos.repositories import serving
from saveos.repositories.handover import Growth, Opening, Options, Verdict, to_line, to_verdict
from saveos.repositories.wire import PeerGone, Wire

if TYPE_CHECKING:
    from types import FrameType

    from saveos.repositories.handover import Grant

log = logging.getLogger("saveos.tunnel")

GREETING_SECONDS = 15  # for handshake and hello together; then the process simply ends
FAREWELL_SECONDS = 3.0
BEAT_MILLISECONDS = 1000
LINE_BYTES = 64 * 1024


class Ended(BaseException):
    """The main process wants the session to end, or is gone: passes through Borg as a signal would."""


class Visit:
    """A connection from its first byte to its last."""

    def __init__(
        self, client: socket.socket, control: socket.socket, context: ssl.SSLContext, options: Options
    ) -> None:
        """Keep both sockets; `control` leads to the main process."""
        self._client = client
        self._control = control
        self._context = context
        self._options = options
        self._unread = b""
        self._is_serving = False
        self._reason = TunnelRefusal(code="stopping", message="The appliance has ended the session.", retry_seconds=5)

    def run(self) -> None:
        """Serve; whatever ends the session, the lock is released and the agent is told why."""
        signal.alarm(GREETING_SECONDS)
        try:
            wire, opening = self._greet()
        except (PeerGone, OSError, ssl.SSLError, msgspec.DecodeError) as error:
            log.info("A connection ended before it was known: %s", error)
            return
        signal.alarm(0)
        try:
            verdict = self._ask(wire, opening)
        except (PeerGone, OSError):  # the agent gave up, or the main process is gone
            return
        if verdict.grant is None:
            refusal = verdict.refusal or self._reason
            wire.send(Frame.REFUSED, msgspec.json.encode(refusal))
            wire.close(FAREWELL_SECONDS)
            return
        self._serve(wire, verdict.grant, opening)

    def _greet(self) -> tuple[Wire, Opening]:
        self._client.settimeout(GREETING_SECONDS)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tls = self._context.wrap_socket(self._client, server_side=True)
        der, facts = tls.getpeercert(binary_form=True), tls.getpeercert()
        if not der or not facts:
            raise PeerGone("no certificate")
        wire = Wire(tls, self._options.ping_seconds, self._options.silence_seconds)
        while (control := wire.next_control()) is None:
            if wire.is_finished or wire.take():
                raise PeerGone("speaks before it says hello")
            wire.pump()
        hello = msgspec.json.decode(control[1], type=TunnelHello)
        serial: Any = facts["serialNumber"]
        return wire, Opening(
            serial=format(int(serial, 16), "x"),
            thumbprint=hashlib.sha256(der).hexdigest(),
            token=hello.agent_token,
            mode=hello.mode,
            job_id=hello.job_id,
            pid=os.getpid(),
        )

    def _ask(self, wire: Wire, opening: Opening) -> Verdict:
        """Wait for the main process, for as long as it takes; the agent hears pings meanwhile."""
        self._control.sendall(to_line(opening))
        while True:
            wire.pump(self._options.ping_seconds / 2, also=self._control.fileno())
            wire.beat()
            if wire.is_finished or wire.take():
                raise PeerGone("did not wait")
            if select.select([self._control], [], [], 0)[0]:
                verdict = self._hear()
                if verdict is None or verdict.grant or verdict.refusal:
                    return verdict or Verdict(refusal=self._reason)

    def _hear(self) -> Verdict | None:
        """Return what the main process says; None when it hung up."""
        while b"\n" not in self._unread:
            part = self._control.recv(LINE_BYTES)
            if not part:
                return None
            self._unread += part
        line, _newline, self._unread = self._unread.partition(b"\n")
        return to_verdict(line)

    def _serve(self, wire: Wire, grant: Grant, opening: Opening) -> None:
        serving.prepare_borg(wire, grant.path)
        seconds = self._options.silence_seconds + serving.LOCK_MARGIN_SECONDS
        service = serving.Service(wire, grant, opening.mode, seconds)
        signal.signal(signal.SIGTERM, self._end)
        code, is_told = 1, False
        try:
            self._is_serving = True
            try:
                wire.send(Frame.READY)
                threading.Thread(target=self._watch, args=(wire, service), daemon=True).start()
                service.serve()
                code = 0
            finally:
                self._is_serving = False  # from here on nothing may interrupt the release of the lock
        except PeerGone as error:
            log.warning("Session of %s: the agent %s.", grant.agent_id, error)
        except serving.ProtocolBroken as error:
            self._reason = TunnelRefusal(code="protocol", message="What the agent sent is not Borg's protocol.")
            log.warning("Session of %s: not Borg's protocol (%s).", grant.agent_id, error)
        except Ended:
            is_told = True
        except Exception:
            log.exception("Session of %s failed.", grant.agent_id)
        try:
            service.close()
        except Exception:
            code = 1
            log.exception("Session of %s: the repository did not close well.", grant.agent_id)
        if is_told or self._reason.code == "protocol":
            wire.send(Frame.REFUSED, msgspec.json.encode(self._reason))
        else:
            wire.send(Frame.EXIT, bytes([code]))
        wire.close(FAREWELL_SECONDS)
        log.info("Session of %s ended (%s); %.2f s of processor time.", grant.agent_id, code, sum(os.times()[:2]))

    def _watch(self, wire: Wire, service: serving.Service) -> None:
        """Side thread: pings while Borg works, tells how much is written, and ends the session when it is to end.

        That is when the main process says so, or is gone.
        """
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while not poll.poll(min(BEAT_MILLISECONDS, self._options.ping_seconds * 500)):
            wire.beat()
            with contextlib.suppress(OSError):  # it is busy: the next line tells as much
                self._control.send(to_line(Growth(added_bytes=service.added_bytes)), socket.MSG_DONTWAIT)
        with contextlib.suppress(OSError, msgspec.DecodeError):
            verdict = self._hear()
            self._reason = (verdict and verdict.refusal) or self._reason
        os.kill(os.getpid(), signal.SIGTERM)

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_serving:
            self._is_serving = False
            raise Ended
