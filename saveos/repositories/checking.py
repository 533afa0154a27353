"""The process that reads what a repository holds on the disk: `python -m saveos.repositories.checking`.

It reads an Order from stdin and writes a line of JSON after each part: a Said. It takes no lock, needs no key and
writes nothing; killed, the next one goes on behind the last segment that was said. As `borg check --repository-only`
does, it reads every segment up to the last commit, object by object, with Borg's own reader (header, CRC-32), and holds
the index against it: each object has to lie where the index says. Source: borg/repository.py, 1.4.5, `check`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
from borg import logger as borg_logging
from borg.helpers import IntegrityError
from borg.repository import MAGIC_LEN, TAG_PUT, Repository

from saveos.agent import privacy
from saveos.agent.engine_committed import Committed, Unsettled
from saveos.repositories.checking_words import Found, Order, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NICENESS = 19
WINDOW = 16  # segments of which the index is held at a time: some thousand objects each, up to 65,000
LONGEST_REST = 30.0
CONFIRM_SECONDS = 0.5
ID_LENGTH = 64
DAMAGES_LIMIT = 1000
# ioprio_set(2): its number by machine; class 3 (idle) for this process.
_IOPRIO_SET, _IDLE = {"x86_64": 251, "aarch64": 30}, 3 << 13
_UNREADABLE = frozenset({errno.EIO, errno.EUCLEAN})


class Lenient(Committed):
    """A repository whose last commit is not whole any more: as much of it as can be read."""

    is_index_damaged = False

    def _look(self) -> bool:
        number = self.get_index_transaction_id()
        try:
            self.index = self.open_index(number)
        except Exception:  # noqa: BLE001 - whatever a broken index makes Borg raise
            self.index, self.is_index_damaged = self.open_index(None), True
        self._number = self.io.get_latest_segment() if number is None else number
        return True


def main() -> int:
    """Do the order on stdin."""
    os.nice(NICENESS)
    os.umask(0o077)
    _yield_the_disk()
    privacy.end_with_parent(signal.SIGKILL)
    borg_logging.setup_logging(level="warning", env_var=None)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        check(order, _write)
    except Repository.DoesNotExist:
        _write(Said(error="repository-missing"))
    return 0


def check(order: Order, say: Callable[[Said], None]) -> None:
    """Read everything behind `after`. Raises what Borg raises when there is no repository at all."""
    with opened(order.path) as view:
        say(Said(segment=order.after, last=last_of(view), sound=_sound(view, order.known), damages=_of_index(view)))
    after = order.after
    while (done := _check_window(order, after, say)) is not None:
        after = done


def _check_window(order: Order, after: int, say: Callable[[Said], None]) -> int | None:
    """Read some segments behind `after` and return the last of them; None when there are no more."""
    with opened(order.path) as view:  # anew for each window: others commit, and compact, meanwhile
        window = list(_window(view, after))
        if not window:
            say(Said(segment=after, last=last_of(view), damages=_beyond(view, after), is_end=True))
            return None
        index = indexed(view, after, window[-1])
        for segment in window:
            begun = time.monotonic()
            said = _segment(view, order.path, segment, index.pop(segment, []))
            damages = (*said.damages, *_lost(order.path, segment, index))
            say(msgspec.structs.replace(said, damages=damages[:DAMAGES_LIMIT]))
            time.sleep(min((time.monotonic() - begun) * order.rest_share, LONGEST_REST))
        return window[-1]


@contextlib.contextmanager
def opened(path: str) -> Iterator[Committed]:
    """Open the last commit, or what is left of it."""
    try:
        view: Committed = Committed(path)
    except Unsettled:
        view = Lenient(path)
    with view:
        yield view


def last_of(view: Committed) -> int:
    """Return the last committed segment; -1: there is none."""
    number = view.get_transaction_id()
    return -1 if number is None else number


def indexed(view: Committed, after: int, last: int) -> dict[int, list[tuple[int, bytes]]]:
    """Return (offset, id) of the objects that the index places in the segments behind `after` up to `last`."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    for id_, (segment, offset, *_rest) in view.index.iteritems():
        if after < segment <= last:
            found.setdefault(segment, []).append((offset, bytes(id_)))
    return found


def _window(view: Committed, after: int) -> Iterator[int]:
    last = last_of(view)
    for count, (segment, _name) in enumerate(view.io.segment_iterator(after + 1)):
        if segment > last or count >= WINDOW:
            return
        yield segment


def _segment(view: Committed, path: str, segment: int, entries: list[tuple[int, bytes]]) -> Said:
    """Read one segment, and each object that the index places in it."""
    entries.sort()
    valid, broken, size = read_through(view.io, segment, [offset for offset, _id in entries])
    bad = [(offset, id_) for offset, id_ in entries if valid.get(offset) != id_]
    harmed = [(offset, id_) for offset, id_ in bad if _why(view, id_, segment, offset)]
    return Said(
        segment=segment,
        last=last_of(view),
        read_bytes=size,
        objects_count=len(valid) + len(bad),
        damages=tuple(_judged(path, segment, harmed, broken)) if harmed or broken else (),
    )


def _judged(path: str, segment: int, harmed: list[tuple[int, bytes]], broken: dict[int, str]) -> Iterator[Found]:
    """Look again, at the commit of now: who compacts takes a segment away whose objects lie elsewhere by then."""
    time.sleep(CONFIRM_SECONDS)
    spoilt = {offset for offset, _id in harmed}
    with opened(path) as view:
        for id_, why in _confirmed(view, harmed):
            yield Found(place=id_.hex(), what=why, segment=segment)
        if view.io.segment_exists(segment):
            for offset in sorted(broken.keys() - spoilt):
                yield Found(place=f"segment {segment}, byte {offset}", what=broken[offset], segment=segment)


def read_through(io: Any, segment: int, offsets: Sequence[int]) -> tuple[dict[int, bytes], dict[int, str], int]:
    """Read all objects of a segment; behind broken bytes go on at the next of `offsets`, which is sorted.

    Return the ids of what is valid by offset, what is wrong by offset, and the segment's size in bytes.
    """
    valid: dict[int, bytes] = {}
    broken: dict[int, str] = {}
    start: int | None = 0
    at = MAGIC_LEN
    while start is not None:
        try:
            for tag, key, offset, size in io.iter_objects(segment, start, read_data=True):
                at = offset + size
                if tag == TAG_PUT:
                    valid[offset] = bytes(key)
            start = None
        except FileNotFoundError:
            break
        except (IntegrityError, OSError) as error:
            broken[at if start else max(at, start)] = _named(error)
            start = at = next((offset for offset in offsets if offset > at), None) or 0
            if not start:
                break
    try:
        return valid, broken, int(io.segment_size(segment))
    except OSError:
        return valid, broken, 0


def _named(error: Exception) -> str:
    if not isinstance(error, OSError):
        return "checksum"
    if error.errno not in _UNREADABLE:
        raise error
    return "unreadable"


def _why(view: Committed, id_: bytes, segment: int, offset: int) -> str:
    """Return what is wrong with an object where it lies, "" when it is whole."""
    try:
        view.io.read(segment, offset, id_)
    except FileNotFoundError:
        return "missing"
    except (IntegrityError, OSError) as error:
        return _named(error)
    return ""


def _confirmed(view: Committed, harmed: Sequence[tuple[int, bytes]]) -> Iterator[tuple[bytes, str]]:
    """Give those that are not whole where the index of now says they are."""
    for _offset, id_ in harmed:
        place = view.index.get(id_)
        if place is not None and (why := _why(view, id_, *place[:2])):
            yield id_, why


def _lost(path: str, segment: int, index: dict[int, list[tuple[int, bytes]]]) -> tuple[Found, ...]:
    """Return the objects that the index places in segments before this one which are not there."""
    gone = [entry for number in [*index] if number < segment for entry in index.pop(number)]
    if not gone:
        return ()
    with opened(path) as view:
        return tuple(
            Found(place=id_.hex(), what=why, segment=view.index[id_][0]) for id_, why in _confirmed(view, gone)
        )


def _beyond(view: Committed, after: int) -> tuple[Found, ...]:
    """Return the objects that the index places behind the last segment that there is."""
    gone = [entry for entries in indexed(view, after, sys.maxsize).values() for entry in entries]
    found = [Found(place=id_.hex(), what=why, segment=view.index[id_][0]) for id_, why in _confirmed(view, gone)]
    return tuple(found[:DAMAGES_LIMIT])


def _sound(view: Committed, known: Sequence[str]) -> tuple[str, ...]:
    """Return those of the known objects that are whole, or needed by nothing any more."""
    ids = [place for place in known if len(place) == ID_LENGTH]
    return tuple(place for place in ids if not list(_confirmed(view, [(0, bytes.fromhex(place))])))


def _of_index(view: Committed) -> tuple[Found, ...]:
    is_damaged = isinstance(view, Lenient) and view.is_index_damaged
    return (Found(place="index", what="index", segment=last_of(view)),) if is_damaged else ()


def _yield_the_disk() -> None:
    """Read only when nobody else does, where the system can arrange it."""
    number = _IOPRIO_SET.get(os.uname().machine)
    if number is not None and sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).syscall(number, 1, 0, _IDLE)


def _write(said: Said) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
