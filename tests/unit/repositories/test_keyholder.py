"""What a keyholder lives through."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from saveos.protocol import AgentId
from saveos.repositories.keyholder import Keyholder
from saveos.repositories.keyholding import HostKey, Start

if TYPE_CHECKING:
    from pathlib import Path

HOST = AgentId("agt_1")


def test_run_that_ends_and_is_let_go_of_at_once_does_not_end_its_keyholder(tmp_path: Path) -> None:
    _ours, theirs = socket.socketpair()
    keyholder = Keyholder(theirs, "unl_1", tmp_path)
    keyholder._keys[HOST] = HostKey(path="/nowhere", passphrase="p")
    line, their_line = socket.socketpair()
    woken, _waker = socket.socketpair()
    woken.setblocking(False)  # noqa: FBT003 - its only argument
    null = os.open(os.devnull, os.O_RDWR)
    keyholder._start(Start(agent_id=HOST, words=("--version",)), [null, null, their_line.fileno()])
    (run,) = keyholder._runs
    run._process.wait(30)
    line.close()
    (pressed,) = keyholder._selector.select(5)  # one look sees both: the line, and that a child has ended

    keyholder._bury(woken)
    pressed[0].data()

    assert [] == keyholder._runs
    os.close(null)
