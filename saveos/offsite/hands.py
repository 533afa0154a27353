"""Several hands for one job, that let go within a second when it is cancelled; and what they may send per second."""

from __future__ import annotations

import io
import queue
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from saveos.errors import SaveOSError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
R = TypeVar("R")
Result = tuple[R | None, BaseException | None]

HANDS = 4  # more made no transfer quicker
LOOK_SECONDS = 0.25


class Stopped(SaveOSError):
    """Somebody cancelled it, or the appliance ends."""

    code = "cancelled"


def each(
    work: Callable[[T], R], items: Iterable[T], is_cancelled: threading.Event, *, hands: int = HANDS
) -> Iterator[R]:
    """Do the work on each item and give what comes of it, in any order. Raises the first error; Stopped.

    Whoever is still waiting for the network then is left behind: it ends by itself, and what it does harms nothing.
    """
    waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
    done: queue.SimpleQueue[Result[R]] = queue.SimpleQueue()
    count = 0
    for item in items:
        waiting.put(item)
        count += 1
    is_over = threading.Event()
    for _ in range(min(hands, count)):
        threading.Thread(target=_work, args=(work, waiting, done, is_over), name="offsite", daemon=True).start()
    try:
        for _ in range(count):
            yield _next(done, is_cancelled)
    finally:
        is_over.set()


def _work(
    work: Callable[[T], R], waiting: queue.SimpleQueue[T], done: queue.SimpleQueue[Result[R]], is_over: threading.Event
) -> None:
    while not is_over.is_set():
        try:
            item = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            done.put((work(item), None))
        except BaseException as error:  # noqa: BLE001 - handed to who waits for it
            done.put((None, error))
            return


def _next(done: queue.SimpleQueue[Result[R]], is_cancelled: threading.Event) -> R:
    while True:
        if is_cancelled.is_set():
            raise Stopped("Stopped: the next one goes on from there.")
        try:
            result, error = done.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if error is not None:
            raise error
        return result  # type: ignore[return-value]


class Pace:
    """How many bytes per second all hands together send."""

    def __init__(self, limit: Callable[[], int], is_cancelled: threading.Event) -> None:
        """`limit`: of this moment, 0 for none."""
        self._limit, self._is_cancelled = limit, is_cancelled
        self._lock = threading.Lock()
        self._free_at = 0.0

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit now."""
        return self._limit() > 0

    def take(self, count: int) -> None:
        """Wait until so many bytes may go. Raises Stopped."""
        if self._is_cancelled.is_set():
            raise Stopped("Stopped: the next one goes on from there.")
        limit = self._limit()
        if not limit:
            return
        with self._lock:
            begin = max(self._free_at, time.monotonic())
            self._free_at = begin + count / limit
        wait = begin - time.monotonic()
        if wait > 0 and self._is_cancelled.wait(wait):
            raise Stopped("Stopped: the next one goes on from there.")


class PacedBody(io.BytesIO):
    """Bytes that are sent no faster than they may. What signs a request reads them too: that costs nothing."""

    def __init__(self, content: bytes, pace: Pace) -> None:
        """Nothing is sent yet."""
        super().__init__(content)
        self._pace = pace
        self.is_sending = False

    def read(self, size: int | None = -1) -> bytes:
        """Read, and wait while it is sent."""
        part = super().read(size)
        if self.is_sending:
            self._pace.take(len(part))
        return part

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go back, as before another attempt."""
        self.is_sending = False
        return super().seek(offset, whence)
