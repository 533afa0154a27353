"""A client of the tunnel that says whatever a test wants: frames and Borg's RPC by hand."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

import msgpack
import msgspec

from saveos.protocol import FRAME_HEADER, TUNNEL_SERVER_NAME, Frame, TunnelHello, TunnelMode
from tests.support.tunnels import TOKEN

if TYPE_CHECKING:
    from typing import Self

    from saveos.protocol import TunnelRefusal
    from tests.support.authority import Identity
    from tests.support.tunnels import Gateway

ID = b"x" * 32


class RpcFailed(Exception):
    """The appliance answered with an exception."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name = name
        self.text = text


class RawClient:
    """One connection."""

    def __init__(self, gateway: Gateway, identity: Identity | None = None, *, anonymous: bool = False) -> None:
        context = ssl.create_default_context(cafile=str(gateway.authority.trust_path))
        who = identity or gateway.host
        if not anonymous:
            context.load_cert_chain(who.certificate_path, who.key_path)
        host, port = gateway.address.split(":")
        raw = socket.create_connection((host, int(port)), timeout=20)
        self.tls = context.wrap_socket(raw, server_hostname=TUNNEL_SERVER_NAME)
        self._number = 0
        self._unpacker = msgpack.Unpacker(raw=True, strict_map_key=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.tls.close()

    def send(self, frame: int, payload: bytes = b"") -> None:
        self.tls.sendall(FRAME_HEADER.pack(frame, len(payload)) + payload)

    def receive(self) -> tuple[Frame, bytes]:
        """Return the next frame that is no ping. Raises EOFError."""
        while True:
            kind, size = FRAME_HEADER.unpack(self._exactly(FRAME_HEADER.size))
            payload = self._exactly(size)
            if kind != Frame.PING:
                return Frame(kind), payload

    def hello(self, mode: TunnelMode = TunnelMode.WRITE, token: str = TOKEN) -> tuple[Frame, bytes]:
        self.send(Frame.HELLO, msgspec.json.encode(TunnelHello(agent_token=token, mode=mode)))
        return self.receive()

    def refusal(self, mode: TunnelMode = TunnelMode.WRITE, token: str = TOKEN) -> TunnelRefusal:
        from saveos.protocol import TunnelRefusal

        frame, payload = self.hello(mode, token)
        assert frame is Frame.REFUSED
        return msgspec.json.decode(payload, type=TunnelRefusal)

    def open(self, mode: TunnelMode = TunnelMode.WRITE, **arguments: Any) -> bytes:
        """Say hello, negotiate and open the repository; return its id."""
        assert (Frame.READY, b"") == self.hello(mode)
        self.data(msgpack.packb((1, 0, "negotiate", [{"client_version": [1, 4, 5]}]), use_bin_type=False))
        self.answer()
        chosen = {"path": "/./repository", "exclusive": mode is TunnelMode.WRITE, "lock_wait": 1, **arguments}
        result: bytes = self.call("open", **chosen)
        return result

    def data(self, data: bytes) -> None:
        self.send(Frame.DATA, data)

    def call(self, method: str, **arguments: Any) -> Any:
        """Call and return what came back. Raises RpcFailed."""
        self._number += 1
        self.data(msgpack.packb({"i": self._number, "m": method, "a": arguments}, use_bin_type=False))
        answer = self.answer()
        if b"exception_class" in answer:
            raise RpcFailed(answer[b"exception_class"].decode(), repr(answer))
        return answer[b"r"]

    def answer(self) -> Any:
        while True:
            for message in self._unpacker:
                return message
            frame, payload = self.receive()
            assert frame in (Frame.DATA, Frame.STDERR), (frame, payload)
            if frame is Frame.DATA:
                self._unpacker.feed(payload)

    def drain(self) -> list[Frame]:
        """Return the frames until the connection ends."""
        frames: list[Frame] = []
        try:
            while True:
                frames.append(self.receive()[0])
        except (EOFError, OSError):
            return frames

    def _exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            part = self.tls.recv(size - len(got))
            if not part:
                raise EOFError
            got += part
        return got
