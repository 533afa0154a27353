"""`saveos-agent read [FOLDER]`: reads a ReadOrder on standard input, writes a ReadHead as JSON, then the body.

A process of its own, started by the daemon (through the tunnel) or by the appliance for an unlocked host (a folder).
Exit code 0 means that the body is whole; whoever passes it on has to break off visibly otherwise.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent import engine_items, lifeline
from saveos.agent.borg_log import printable
from saveos.agent.engine import PARENT_VARIABLE, end_with
from saveos.agent.engine_archive import Opened, Refused, chosen_bytes, contents, find, opened
from saveos.agent.engine_pack import send_packed
from saveos.agent.engine_tar import NANOSECONDS, nanoseconds
from saveos.protocol import EntryKind, ReadForm, ReadHead, ReadOrder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KINDS = {stat.S_IFDIR: EntryKind.FOLDER, stat.S_IFREG: EntryKind.FILE, stat.S_IFLNK: EntryKind.LINK}
MESSAGE_LENGTH = 4000


def main(words: Sequence[str] = ()) -> int:
    """Read an order and answer it. A word: the folder of a copy, instead of the repository of Borg's environment."""
    lifeline.hold_to_parent()
    parent = os.environ.get(PARENT_VARIABLE, "")
    if parent.isdigit():
        threading.Thread(target=end_with, args=(int(parent),), daemon=True).start()
    out = Output(sys.stdout.fileno())
    try:
        _answer(msgspec.json.decode(sys.stdin.buffer.read(), type=ReadOrder), out, *words[:1])
    except Refused as refusal:
        out.refuse(refusal.code, str(refusal), refusal.whole_bytes)
    except engine_items.Damaged:
        out.refuse("damaged", "The snapshot's list of files cannot be read.")
    except BrokenPipeError:  # nobody listens any more
        return 1
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the answer
        out.refuse("engine-error", f"{type(error).__name__}: {error}")
    else:
        return 0
    return 1


class Output:
    """The way to whoever asked: one head, then the body."""

    def __init__(self, descriptor: int) -> None:
        """Write to a descriptor."""
        self._descriptor = descriptor
        self._has_begun = False

    def begin(self, head: ReadHead) -> None:
        """Write the head."""
        self._has_begun = True
        self.write(msgspec.json.encode(head) + b"\n")

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def refuse(self, code: str, message: str, whole_bytes: int = 0) -> None:
        """Say why there is nothing; too late for words once the body has begun."""
        if not self._has_begun:
            text = printable(message)[:MESSAGE_LENGTH]
            self.begin(ReadHead(error_code=code, message=text, whole_bytes=whole_bytes))


def _answer(order: ReadOrder, out: Output, folder: str = "") -> None:
    with opened(order.archive, folder) as archive:
        if order.form is ReadForm.FILE:
            _send_file(archive, order, out)
        else:
            send_packed(archive, order, lambda: out.begin(ReadHead(kind=EntryKind.FOLDER)), out.write)


def _send_file(archive: Opened, order: ReadOrder, out: Output) -> None:
    if len(order.chosen) != 1:
        raise Refused("not-a-file", "One file is sent as itself; more than one has to be packed.")
    chosen = order.chosen[0]
    item = find(archive, chosen_bytes(chosen), chosen.place)
    chunks = contents(archive, item, chosen.place)
    whole = sum(entry[1] for entry in chunks)
    first = order.first_byte if order.first_byte >= 0 else max(0, whole + order.first_byte)
    end = whole if order.last_byte is None else min(whole, order.last_byte + 1)
    if first > end or (first == end and (order.first_byte or order.last_byte is not None)):
        raise Refused("range-not-satisfiable", "The file does not have these bytes.", whole)
    out.begin(_head(item, whole, first, end))
    if not order.is_head_only:
        for part in _range(archive, chunks, first, end):
            out.write(part)


def _head(item: dict[bytes, Any], whole: int, first: int, end: int) -> ReadHead:
    mode = item[b"mode"]
    return ReadHead(
        kind=KINDS.get(stat.S_IFMT(mode), EntryKind.OTHER),
        size_bytes=end - first,
        first_byte=first,
        whole_bytes=whole,
        modified_at=_moment(item.get(b"mtime", 0)),
        mode=stat.S_IMODE(mode),
    )


def _moment(raw: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(nanoseconds(raw) / NANOSECONDS, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _range(archive: Opened, chunks: tuple[Any, ...], first: int, end: int) -> Iterator[memoryview]:
    """Give the bytes from `first` up to `end`; chunks outside are not fetched."""
    wanted: list[Any] = []
    at = begins = 0
    for entry in chunks:
        if at < end and at + entry[1] > first:
            if not wanted:
                begins = at
            wanted.append(entry)
        at += entry[1]
    at = begins
    for data in archive.content(wanted):
        yield memoryview(data)[max(0, first - at) : max(0, end - at)]
        at += len(data)


if __name__ == "__main__":
    sys.exit(main())
