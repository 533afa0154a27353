"""Has this machine slept? Then what is waited for in vain may be there now, and what was silent need not be gone.

While a machine sleeps its monotonic clock stands still; the one that counts from its start goes on.
Source: clock_gettime(2).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

LOOK_SECONDS = 2.0
SLEPT_SECONDS = 5.0
NETWORK_SECONDS = 3.0  # after waking, until a network is there, more often than not


def slept() -> float:
    """Return for how many seconds this machine has slept since it was started; 0 where that is not told."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.clock_gettime(clock) - time.monotonic() if clock is not None else 0.0


def wait(stopping: threading.Event, seconds: float, asleep: Callable[[], float] = slept) -> bool:
    """Wait so long, or until told to stop, or until a sleep is over; return whether it was that."""
    before, end = asleep(), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if stopping.wait(min(left, LOOK_SECONDS)):
            return False
        if asleep() - before > SLEPT_SECONDS:
            stopping.wait(min(NETWORK_SECONDS, max(0.0, left)))
            return True
    return False
