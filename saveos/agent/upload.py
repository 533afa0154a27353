"""A stream of frames to the appliance as the body of one request, which shows whether somebody still listens."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

from saveos.agent.failures import Failure
from saveos.protocol import FRAME_HEADER, Frame

if TYPE_CHECKING:
    import http.client

STALL_SECONDS = 180.0  # the appliance gives up a reader who takes nothing sooner than that
LOOK_BYTES = 4096


class Upload:
    """One request under way. Not for use by two threads at once."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        """Go on with a connection whose request's head has been sent, in chunks."""
        self._connection = connection
        self._socket = connection.sock
        self._socket.settimeout(STALL_SECONDS)

    def write(self, kind: Frame, data: bytes = b"") -> None:
        """Send a frame. Raises Failure `unreachable` once the appliance has hung up."""
        size = FRAME_HEADER.size + len(data)
        try:
            self._socket.sendall(b"%x\r\n%b%b\r\n" % (size, FRAME_HEADER.pack(kind, len(data)), data))
        except OSError as error:
            raise Failure("unreachable", f"Nobody takes the rest: {error}.") from error

    def is_ended(self) -> bool:
        """Return whether the appliance has answered or hung up already: nobody listens any more."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(LOOK_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except OSError:
            return True
        finally:
            with contextlib.suppress(OSError):
                self._socket.settimeout(STALL_SECONDS)
        return True

    def finish(self) -> None:
        """End the body in order."""
        with contextlib.suppress(OSError):
            self._socket.sendall(b"0\r\n\r\n")
            self._connection.getresponse().read()

    def close(self) -> None:
        """Hang up; what is not finished by then is broken off."""
        self._connection.close()
