"""What the machine says of itself."""

from __future__ import annotations

import os
import subprocess
import sys

from saveos.measurements import machine
from saveos.measurements.machine import Processors


def test_share_is_what_was_busy_of_what_passed() -> None:
    earlier, later = Processors(busy=100, all=1000), Processors(busy=130, all=1100)

    assert 0.3 == later.share_since(earlier)
    assert later.share_since(later) is None


def test_processors_are_read_from_the_kernel() -> None:
    found = machine.processors()

    assert found is not None
    assert 0 < found.busy <= found.all


def test_memory_counts_children() -> None:
    script = "import sys; kept = bytearray(60_000_000); print('ready', flush=True); sys.stdin.read()"
    alone = machine.memory_bytes(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        together = machine.memory_bytes(os.getpid())
        child.communicate("")

    assert alone is not None
    assert together is not None
    assert together - alone > 50_000_000


def test_memory_of_nobody_is_none_or_nothing() -> None:
    assert machine.memory_bytes(2**22 + 1) in (0, None)
