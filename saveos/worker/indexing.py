"""Brings received listings into the catalogues: one at a time, host by host, each by a process of its own.

The listings table is the queue: what a killed appliance had in hand is simply done again.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from saveos.snapshots import catalogue_files as files
from saveos.snapshots import rebuilding, table_listings
from saveos.snapshots.indexing import Ending, Order

if TYPE_CHECKING:
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.snapshots.table_listings import Listing

log = logging.getLogger("saveos.indexing")
LOOK_SECONDS = 0.25
AGAIN_SECONDS = 10.0  # after a failure that is not the listing's: the disk is full, the process was killed
KILLS_LIMIT = 5  # of the process that has a listing in hand, say for lack of memory: then it is of no use


class Killed(RuntimeError):
    """Something ended the process, perhaps what it had in hand."""


class Indexer:
    """The thread that looks after received listings."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Do nothing until `start`."""
        self._settings, self._database = settings, database
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._last_agent_id = ""
        self._kills: Counter[str] = Counter()  # by snapshot id
        self._thread = threading.Thread(target=self._work, name="indexing", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; a listing in hand is begun anew by the next start."""
        self._stopping.set()
        process = self._process
        if process is not None:
            process.kill()
        self._thread.join()

    def _work(self) -> None:
        wait = 0.0
        try:
            rebuilding.ask_for_lost(self._database, self._settings)
        except Exception:
            log.exception("Catalogues could not be looked for.")
        while not self._stopping.wait(wait):
            wait = LOOK_SECONDS
            try:
                while not self._stopping.is_set():
                    listing = table_listings.waiting(self._database.read, self._last_agent_id)
                    if listing is None:
                        break
                    self._last_agent_id = listing.agent_id
                    self._index(listing)
            except Exception:
                log.exception("A listing could not be indexed; it is tried again.")
                wait = AGAIN_SECONDS

    def _index(self, listing: Listing) -> None:
        folder = files.incoming(self._settings, listing.tenant_id, listing.agent_id) / listing.snapshot_id
        order = Order(
            catalogue=str(files.catalogue(self._settings, listing.tenant_id, listing.agent_id)),
            parts=str(folder),
            snapshot_id=listing.snapshot_id,
            archive=listing.archive,
            at=listing.started_at.isoformat(),
            base=listing.base,
        )
        try:
            ending = self._run(order)
        except RuntimeError as error:
            if not rebuilding.record_end(self._database, self._settings, listing, None):
                return
            ending = self._ending_after(listing, error)
        if ending is None:
            return
        del self._kills[listing.snapshot_id]
        if ending.code:
            log.warning("The listing of %s is of no use: %s", listing.archive, ending.message)
        if rebuilding.record_end(self._database, self._settings, listing, ending):
            shutil.rmtree(folder, ignore_errors=True)

    def _ending_after(self, listing: Listing, error: RuntimeError) -> Ending:
        """Give a listing up that ended its process too often. Raises the error while it may be tried again."""
        self._kills[listing.snapshot_id] += isinstance(error, Killed)
        if self._kills[listing.snapshot_id] < KILLS_LIMIT:
            raise error
        return Ending(code="killed", message="Each process that brought the listing in was killed.")

    def _run(self, order: Order) -> Ending | None:
        """Let the process do it; None when we are stopping. Raises RuntimeError when it failed, Killed."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "saveos.snapshots.indexing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        output, errors = self._process.communicate(msgspec.json.encode(order))
        code, self._process = self._process.returncode, None
        if self._stopping.is_set() and code:
            return None
        if code:
            message = f"The indexing process ended with {code}: {errors.decode(errors='replace')[-2000:]}"
            raise (Killed if code < 0 else RuntimeError)(message)
        if errors:
            log.warning("The indexing process said: %s", errors.decode(errors="replace")[-2000:])
        return msgspec.json.decode(output, type=Ending)
