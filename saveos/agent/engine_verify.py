"""`saveos-agent verify`: decrypts objects of this host's repository, and finds out which files need damaged ones.

It reads a VerifyOrder on standard input and writes lines of JSON: how far it is, then the facts. As `borg check
--verify-data` does, it takes each object as the server gives it, and lets the key authenticate and decrypt it; an id
is a keyed hash of the content, so whatever else came out would be found. It goes through the ids in their own order,
which stays the same whatever is added or deleted between two parts. Source: borg/archive.py, `verify_data`, 1.4.5.
"""

from __future__ import annotations

import heapq
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import borg
import msgspec
from borg import logger, remote
from borg.cache import SecurityManager
from borg.helpers import Error, IntegrityError, Manifest
from borg.repository import Repository

from saveos.agent import engine, lifeline
from saveos.agent.engine import PARENT_VARIABLE, end_with
from saveos.agent.engine_archive import Refused, named, repository_of_environment
from saveos.agent.engine_committed import Unsettled
from saveos.agent.engine_locate import UNREADABLE, Locating, require_damage
from saveos.agent.verify_words import SaidOfVerify
from saveos.protocol import VerifyFacts, VerifyOrder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NICENESS = 10
IDS_AT_ONCE = 100_000  # as many as the server lists
PART_OBJECTS = 50_000  # at most in one part: ids of them are held
IN_FLIGHT = 8
TELL_SECONDS = 1.0
DAMAGED_LIMIT = 1000
LOCATED_LIMIT = 1000
SOUND, DAMAGED, ABSENT = "sound", "damaged", "absent"


def main(_words: Sequence[str] = ()) -> int:
    """Do the order on standard input."""
    lifeline.hold_to_parent()
    parent = os.environ.get(PARENT_VARIABLE, "")
    if parent.isdigit():
        threading.Thread(target=end_with, args=(int(parent),), daemon=True).start()
    os.nice(NICENESS)
    try:
        said = SaidOfVerify(facts=_do(msgspec.json.decode(sys.stdin.buffer.read(), type=VerifyOrder)))
    except Refused as refusal:
        said = SaidOfVerify(error_code=refusal.code, message=str(refusal))
    except Unsettled:
        said = SaidOfVerify(error_code="damaged", message="The repository's index tells of what is not there.")
    except Error as error:
        said = SaidOfVerify(error_code=named(error)[0], message=named(error)[1])
    except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for the answer
        said = SaidOfVerify(error_code="engine-error", message=f"{type(error).__name__}: {error}")
    _write(said)
    return 0


def _do(order: VerifyOrder) -> VerifyFacts:
    logger.setup_logging(level="warning", env_var=None)
    if borg.__version__ == engine.BORG_VERSION:
        engine.quicken(remote)
    remote.MAX_INFLIGHT = IN_FLIGHT
    with repository_of_environment() as repository:
        manifest, key = Manifest.load(repository, (Manifest.Operation.READ,))
        SecurityManager(repository).assert_key_type(key)
        if not key.logically_encrypted:
            raise Refused("engine-error", "The repository is not encrypted: it is not this host's.")
        return Verification(order, repository, manifest, key).run()


class Verification:
    """One part of the way through a repository's objects."""

    def __init__(self, order: VerifyOrder, repository: Any, manifest: Any, key: Any) -> None:
        """Keep what is read with what."""
        self._order, self._repository, self._manifest, self._key = order, repository, manifest, key
        self._told_at = 0.0
        self._objects = self._bytes = 0

    def run(self) -> VerifyFacts:
        """Read, and locate what is damaged. Raises Borg's errors of a broken line."""
        order = self._order
        asked = [bytes.fromhex(id_) for id_ in order.locate]
        states = dict(self._states(asked))
        self._settle(states)
        damaged = [id_ for id_ in asked if states[id_] == DAMAGED]
        marker, found = self._part(max(1, DAMAGED_LIMIT - len(damaged)))
        damaged += [id_ for id_ in found if id_ not in states]
        located, unseen = Locating(self._repository, self._manifest, self._key, self._tell).run(
            damaged, is_sealed=order.is_sealed
        )
        unseen += max(0, len(located) - LOCATED_LIMIT)
        return VerifyFacts(
            marker=marker,
            objects_count=self._objects,
            read_bytes=self._bytes,
            damaged=tuple(id_.hex() for id_ in damaged[: 2 * DAMAGED_LIMIT]),
            sound=tuple(id_.hex() for id_ in asked if states[id_] == SOUND),
            gone=tuple(id_.hex() for id_ in asked if states[id_] == ABSENT),
            is_located=bool(damaged),
            archives_count=len(self._manifest.archives) - unseen,
            unseen_archives_count=unseen,
            located=tuple(located[:LOCATED_LIMIT]),
        )

    def _states(self, ids: Sequence[bytes]) -> Iterator[tuple[bytes, str]]:
        """Give each id with what is there: it is fetched, authenticated and decrypted."""
        rest = list(ids)
        while rest:
            count, state = 0, DAMAGED
            try:
                for data in self._repository.get_many(rest):
                    id_, count = rest[count], count + 1
                    self._bytes += len(data)
                    yield id_, self._decrypted(id_, data)
            except Repository.ObjectNotFound:
                state = ABSENT
            except UNREADABLE as error:
                require_damage(error)
            if count < len(rest):  # what failed has ended the stream: the others are asked for anew
                yield rest[count], state
            rest = rest[count + 1 :]

    def _decrypted(self, id_: bytes, data: bytes) -> str:
        try:
            self._key.decrypt(None if id_ == Manifest.MANIFEST_ID else id_, data)
        except IntegrityError:
            return DAMAGED
        return SOUND

    def _settle(self, states: dict[bytes, str]) -> None:
        """Call those damaged that are not there although the index names them: their segment is lost."""
        absent = {id_ for id_, state in states.items() if state == ABSENT}
        if absent:
            for page in self._pages():
                states.update((id_, DAMAGED) for id_ in absent.intersection(page))

    def _part(self, damaged_limit: int) -> tuple[str, list[bytes]]:
        """Decrypt what comes after the marker; return where the next part begins ("": at the end), and the damaged."""
        order = self._order
        marker = bytes.fromhex(order.marker) if order.marker else None
        following = (id_ for page in self._pages() for id_ in page if marker is None or id_ > marker)
        ids = heapq.nsmallest(PART_OBJECTS + 1, following)
        more, ids = len(ids) > PART_OBJECTS, ids[:PART_OBJECTS]
        damaged = []
        until, begun_at = time.monotonic() + order.seconds_limit, self._bytes
        for number, (id_, state) in enumerate(self._states(ids)):
            if state != SOUND:
                damaged.append(id_)
            self._objects += 1
            self._tell()
            is_over = self._bytes - begun_at >= order.bytes_limit or time.monotonic() >= until
            if (is_over or len(damaged) >= damaged_limit) and number + 1 < len(ids):
                return id_.hex(), damaged
        return ids[-1].hex() if more and ids else "", damaged

    def _pages(self) -> Iterator[list[bytes]]:
        """Give all ids of the repository, in the order of its index."""
        marker = None
        while page := self._repository.list(limit=IDS_AT_ONCE, marker=marker):
            yield [bytes(id_) for id_ in page]
            marker = page[-1]

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            _write(SaidOfVerify(objects_count=self._objects, read_bytes=self._bytes))


def _write(said: SaidOfVerify) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
