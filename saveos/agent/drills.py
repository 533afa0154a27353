"""A restore drill: files that were noted at backups are restored as any restore would, compared, and timed."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos import __version__
from saveos.agent.archives import COMMON, failed
from saveos.agent.borg import Lent
from saveos.agent.drill_sample import Sample, choose, of_their_own
from saveos.agent.engine import RESTORE
from saveos.agent.engine_extract import Extracted, Plan
from saveos.agent.failures import Failure
from saveos.agent.restores import extracted_of
from saveos.protocol import (
    DRILL_CONTEXT,
    NOT_IN_BACKUPS,
    DrillMismatch,
    DrillStatement,
    Fate,
    JobReport,
    Outcome,
    SignedDrill,
    TunnelMode,
    entry_bytes,
    entry_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.agent import borg_log
    from saveos.agent.noted import Entry
    from saveos.agent.settings import Config, Home
    from saveos.agent.work import Work
    from saveos.protocol import DrillOrder, NamedArchive

SCRATCH = "drill-"  # what a killed drill leaves is removed by the next daemon
ROOM = 2  # times the sample is to be free
MISMATCHES_NAMED = 200
TIME_STEP = 1_000_000  # nanoseconds: a file system may keep times less finely than Borg does
PIECE = 1024**2
CHANGES = ("missing", "size", "mode", "time")  # what people do to files
DAMAGED = "damaged"  # Borg says that data is not what was written


class Tally:
    """What came back how."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.lines: list[str] = []  # one for each file that was compared
        self.original_bytes = 0
        self.passed_over: list[tuple[str, Entry]] = []  # not as they were noted, of another archive
        self.mismatches: list[DrillMismatch] = []
        self.archives: list[NamedArchive] = []
        self.seconds = 0.0


def drill(work: Work, order: DrillOrder) -> JobReport:
    """Do a drill and return its report, signed."""
    began_at = datetime.now(UTC)
    work.note(phase="restoring")
    tally = Tally()
    with _scratch(work.home) as scratch:
        if order.copy_generation:  # Borg would take what it remembers of the repository for a replay of the copy
            work.lent = Lent(work.home.passphrase.read_bytes(), scratch / "borg")
        for sample in choose(work.home.noted, order):
            _require_room(scratch, sample)
            _restore(work, sample, scratch, tally)
        own = of_their_own(tally.passed_over, len(tally.lines), order)
        if own is not None:
            tally.passed_over = [each for each in tally.passed_over if each not in own.files]
            _require_room(scratch, own)
            _restore(work, own, scratch, tally)
    statement = _statement(work, order, tally, began_at)
    signed = sign(work.home, work.config, statement)
    if statement.mismatches_count:
        for entry in tally.mismatches[:MISMATCHES_NAMED]:
            work.say(f"{entry.what}: {entry.path}, of {entry.archive}", "error")
        message = f"{statement.mismatches_count} of {statement.files_count} files did not come back as they were."
        return JobReport(outcome=Outcome.FAILED, error_code="drill-failed", message=message, drill=signed)
    if not statement.files_count:
        message = "Nothing could be compared yet: the next backup notes hashes of files."
        if not order.archives:
            message = "No snapshot of this host is known to be sound: there is nothing to restore from."
        return JobReport(outcome=Outcome.WARNED, message=message, warnings_count=1, drill=signed)
    return JobReport(
        outcome=Outcome.DONE,
        message=f"{statement.files_count} files came back as they were.",
        files_count=statement.files_count,
        original_bytes=statement.original_bytes,
        drill=signed,
    )


def sign(home: Home, config: Config, statement: DrillStatement) -> SignedDrill:
    """Sign a statement with the key of this host's certificate."""
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - half a second that few need
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    folder = home.credentials(config.credentials)
    key = serialization.load_pem_private_key((folder / "agent.key").read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Failure("not-enrolled", "This host's key cannot sign.")
    text = msgspec.json.encode(statement)
    signature = key.sign(DRILL_CONTEXT + text, ec.ECDSA(hashes.SHA256()))
    return SignedDrill(
        statement=text.decode(),
        signature=base64.b64encode(signature).decode(),
        certificate=(folder / "agent.pem").read_text(),
    )


def difference(restored: Path, entry: Entry) -> str:
    """Return in what a restored file differs: missing, size, content, mode or time; "" when it is as noted."""
    try:
        descriptor = os.open(restored, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return "missing"
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        seen = os.fstat(descriptor)
        if not stat.S_ISREG(seen.st_mode):
            return "missing"
        if seen.st_size != entry.size:
            return "size"
        digest = hashlib.sha256()
        while data := file.read(PIECE):
            digest.update(data)
    if digest.hexdigest() != entry.sha256:
        return "content"
    if (seen.st_mode ^ entry.mode) & 0o777:
        return "mode"
    return "time" if abs(seen.st_mtime_ns - entry.mtime) > TIME_STEP else ""


def _restore(work: Work, sample: Sample, scratch: Path, tally: Tally) -> None:
    """Restore files out of one archive and compare them. Raises Failure when that says nothing about the archive."""
    work.go_on()
    target = Path(tempfile.mkdtemp(dir=scratch))
    entries = tuple(entry.path for _archive, entry in sample.files)
    plan = Plan(entries=entries, target=entry_path(os.fsencode(target)))
    began = time.monotonic()
    # Without flags: what is immutable could not be removed again.
    words = [RESTORE, *COMMON, "--noflags", f"::{sample.archive.name}"]
    outcome = work.run(words, TunnelMode.READ, msgspec.json.encode(plan))
    tally.seconds += time.monotonic() - began
    extracted = extracted_of(outcome)
    if extracted is not None and not extracted.error:
        _compare(sample, target, extracted, tally)
    elif outcome.code == DAMAGED and not work.is_cancelled.is_set():
        for _archive, entry in sample.files:  # the archive's own list of files cannot be read any more
            _add(tally, sample, entry, DAMAGED)
    else:
        raise _failure(work, outcome)
    if sample.archive not in tally.archives:
        tally.archives.append(sample.archive)
    shutil.rmtree(target, ignore_errors=True)


def _compare(sample: Sample, target: Path, extracted: Extracted, tally: Tally) -> None:
    differences = extracted.facts.differences
    failed_paths = {entry.path: entry.detail for entry in differences if entry.what in (Fate.FAILED, Fate.REFUSED)}
    for archive, entry in sample.files:
        restored = Path(os.fsdecode(os.path.join(os.fsencode(target), entry_bytes(entry.path))))  # noqa: PTH118 - bytes
        if (detail := failed_paths.get(entry.path)) is not None:
            _add(tally, sample, entry, DAMAGED if detail.startswith(DAMAGED) else "failed")
            continue
        what = "missing" if entry.path in extracted.missing else difference(restored, entry)
        # Noted of another archive, the file may be another one by now: that says nothing about restoring.
        if archive != sample.archive.name and (what in CHANGES or _is_newer(restored, entry)):
            tally.passed_over.append((archive, entry))
        elif what:
            _add(tally, sample, entry, what)
        else:
            _count(tally, entry)


def _add(tally: Tally, sample: Sample, entry: Entry, what: str) -> None:
    _count(tally, entry)
    tally.mismatches.append(DrillMismatch(path=entry.path, archive=sample.archive.name, what=what))


def _count(tally: Tally, entry: Entry) -> None:
    tally.lines.append(f"{entry.sha256} {hashlib.sha256(entry_bytes(entry.path)).hexdigest()}\n")
    tally.original_bytes += entry.size


def _is_newer(restored: Path, entry: Entry) -> bool:
    with contextlib.suppress(OSError):
        return abs(restored.lstat().st_mtime_ns - entry.mtime) > TIME_STEP
    return False


def _statement(work: Work, order: DrillOrder, tally: Tally, began_at: datetime) -> DrillStatement:
    named = tally.mismatches[:MISMATCHES_NAMED]
    if order.is_sealed:
        named = [msgspec.structs.replace(entry, path="") for entry in named]
    return DrillStatement(
        agent_id=work.config.agent_id,
        hostname=work.config.hostname,
        job_id=work.assignment.job_id,
        nonce=order.nonce,
        agent_version=__version__,
        archives=tuple(tally.archives),
        files_count=len(tally.lines),
        original_bytes=tally.original_bytes,
        passed_over=len(tally.passed_over),
        sample_sha256=hashlib.sha256("".join(sorted(tally.lines)).encode()).hexdigest(),
        mismatches_count=len(tally.mismatches),
        mismatches=tuple(named),
        restore_seconds=round(tally.seconds, 3),
        began_at=began_at,
        ended_at=datetime.now(UTC),
        copy_generation=order.copy_generation,
    )


@contextlib.contextmanager
def _scratch(home: Home) -> Iterator[Path]:
    """Give a folder that nobody else may enter, and that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=home.state, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / NOT_IN_BACKUPS).touch()
        yield folder


def _require_room(scratch: Path, sample: Sample) -> None:
    wanted = ROOM * sum(entry.size for _archive, entry in sample.files)
    if shutil.disk_usage(scratch).free < wanted:
        raise Failure("disk-full-on-host", "There is no room on this host to restore a sample into.")


def _failure(work: Work, outcome: borg_log.Outcome) -> Failure:
    report = failed(work, outcome)
    return Failure(report.error_code or "engine-error", report.message or "The restore ended early.")
