"""Borg's own `prune --dry-run --list`, run in this process on histories that never took the time to happen."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from borg.archiver import Archiver
from borg.helpers import Manifest, misc
from borg.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

KEPT = re.compile(r"Keeping archive \(rule: (\w+)(?:\[oldest\])? #\d+\): +(\d+)")
GOES = re.compile(r"Would prune: +(\d+)")


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Pruner:
    """A real repository, and a manifest that says for each question which archives there are."""

    def __init__(self, repository: Repository) -> None:
        self._archiver = Archiver()
        self._parser = self._archiver.build_parser()  # as Borg's command line does, but once: it takes most of the time
        self._repository = repository
        self._manifest, self._key = Manifest.load(repository, Manifest.NO_OPERATION_CHECK)
        self._lines = _Lines()
        self._log = logging.getLogger("borg.output.list")
        self._log.addHandler(self._lines)
        self._log.setLevel(logging.INFO)
        self._log.propagate = False

    def kept(self, moments: Sequence[datetime], numbers: dict[str, int], zone: str, now: datetime) -> dict[int, str]:
        """Return the rule by which Borg keeps each of the archives that it keeps; every other one it says to prune.

        `moments`: newest first. `numbers`: by rule as `--keep-…` names them, `within` in hours.
        """
        archives = self._manifest.archives
        for name in list(archives):
            del archives[name]
        for position in reversed(range(len(moments))):  # of the same moment, Borg takes the last one first
            archives[str(position)] = (position.to_bytes(32, "big"), moments[position].astimezone(UTC))
        options = [f"--keep-{rule}={number}{'H' if rule == 'within' else ''}" for rule, number in numbers.items()]
        arguments = self._parser.parse_args(["prune", "--dry-run", "--list", *options, self._repository.path])
        self._parser.common_options.resolve(arguments)
        self._lines.lines.clear()
        with _at(zone, now):
            prune: Any = Archiver.do_prune
            prune.__wrapped__(self._archiver, arguments, self._repository, self._manifest, self._key)
        found = {int(number): rule for line in self._lines.lines for rule, number in KEPT.findall(line)}
        gone = {int(number) for line in self._lines.lines for number in GOES.findall(line)}
        assert found.keys() | gone == set(range(len(moments)))
        assert not found.keys() & gone
        return found

    def close(self) -> None:
        self._log.removeHandler(self._lines)
        self._log.propagate = True


@contextlib.contextmanager
def pruner(folder: Path) -> Iterator[Pruner]:
    """Make the repository."""
    given = {"BORG_BASE_DIR": str(folder), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        path = folder / "repository"
        archiver = Archiver()
        archiver.run(archiver.parse_args(["init", "--encryption", "none", str(path)]))
        with Repository(str(path), exclusive=True) as repository, contextlib.closing(Pruner(repository)) as made:
            yield made
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _at(zone: str, now: datetime) -> Iterator[None]:
    """Let Borg live in a zone, at a moment."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return now.astimezone(tz)

    before, clock = os.environ.get("TZ"), misc.datetime
    os.environ["TZ"] = zone
    time.tzset()
    misc.datetime = Clock
    try:
        yield
    finally:
        misc.datetime = clock
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()
