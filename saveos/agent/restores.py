"""What a restore is, told to Borg; what became of it, told to the appliance."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.archives import COMMON, failed
from saveos.agent.borg import Lent
from saveos.agent.borg_log import printable
from saveos.agent.client import Client
from saveos.agent.engine import RESTORE
from saveos.agent.engine_extract import Extracted, Plan
from saveos.agent.failures import Failure
from saveos.agent.lending import unseal
from saveos.protocol import Fate, JobReport, Outcome, TunnelMode, entry_bytes, entry_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.agent import borg_log
    from saveos.agent.work import Work
    from saveos.protocol import Lender, RestoreOrder

LINES_SAID = 50
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
REFUSALS = {
    "link": "a link on its path leads nowhere, or somebody else made it",
    "not-a-folder": "something on its path is no folder",
    "outside": "there is a '..' or a NUL byte on its path",
}


def restore(work: Work, order: RestoreOrder) -> JobReport:
    """Restore the archive, or some of its entries, into a folder or to where they came from."""
    plan = _plan(order)
    work.note(phase="comparing" if order.dry_run else "restoring")
    work.note(total_files_count=order.expected_files_count, total_bytes=order.expected_bytes)
    arguments = [RESTORE, *COMMON, f"::{order.archive}"]
    with _lent(work, order.lender):
        outcome = work.run(arguments, TunnelMode.READ, msgspec.json.encode(plan))
    extracted = extracted_of(outcome)
    if extracted is None:
        return failed(work, outcome)
    _say_what_differs(work, extracted)
    return _report(work, plan, extracted)


@contextlib.contextmanager
def _lent(work: Work, lender: Lender | None) -> Iterator[None]:
    """Work with another host's key for so long; nothing of it stays."""
    if lender is None:
        yield
        return
    home, config = work.home, work.config
    certificate = (home.credentials(config.credentials) / "agent.pem").read_text()
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        answer = client.lent_key(work.assignment.job_id, certificate)
    if answer.error or not answer.sealed:
        raise Failure("key-not-lent", f"{lender.hostname}: {answer.error or 'no key came.'}")
    passphrase = unseal(home, config, lender.agent_id, work.assignment.job_id, answer.sealed)
    with tempfile.TemporaryDirectory(prefix="lent-", dir=home.state) as folder:
        work.lent = Lent(passphrase, Path(folder))
        try:
            yield
        finally:
            work.lent = None


def inside(path: str) -> str:
    """Return a path of the host, or of the snapshot, as the entry that it is in there. Raises Failure."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if "\0" in path or ".." in parts:
        raise Failure("usage", f"{printable(path)} is not a path inside a snapshot.")
    return entry_path(os.fsencode("/".join(parts)))


def target_of(path: str) -> str:
    """Return a folder to restore into by its whole path. Raises Failure for a `..` part: a link may come before it."""
    if ".." in Path(path).parts:
        raise Failure("usage", f"{printable(path)} has a '..' part: name the folder without it.")
    return str(Path(path).absolute())


def _plan(order: RestoreOrder) -> Plan:
    asked_at = order.asked_at or datetime.now(UTC)
    return Plan(
        entries=(*map(inside, order.paths), *order.selected),
        target=entry_path(os.fsencode(order.target)) if order.target else None,
        conflict=order.conflict,
        is_dry_run=order.dry_run,
        is_foreign=order.lender is not None,
        stamp=f"{asked_at.astimezone():%Y-%m-%d %H-%M}",
    )


def extracted_of(outcome: borg_log.Outcome) -> Extracted | None:
    """Return what it said at its end; a restore that was stopped in order says it too."""
    if not outcome.output:
        return None
    try:
        return msgspec.json.decode(outcome.output, type=Extracted)
    except msgspec.MsgspecError as error:
        raise Failure("engine-error", f"Borg's answer cannot be read: {error}.") from error


def _say_what_differs(work: Work, extracted: Extracted) -> None:
    for missing in extracted.missing[:LINES_SAID]:
        work.say(f"{_shown(missing)} is not in the snapshot.", "warning")
    bad = [entry for entry in extracted.facts.differences if entry.what in (Fate.FAILED, Fate.REFUSED)]
    for entry in bad[:LINES_SAID]:
        work.say(f"{_shown(entry.path)}: {entry.what.value} ({entry.detail}).", "warning")


def _report(work: Work, plan: Plan, extracted: Extracted) -> JobReport:
    facts, missing = extracted.facts, extracted.missing
    outcome, code, message = Outcome.DONE, "", ""
    bad_count = facts.failed + facts.refused + len(missing)
    if extracted.error == errno.EINTR:
        outcome, code, message = Outcome.CANCELLED, "cancelled", "Cancelled."
    elif extracted.refusal:
        outcome, code = Outcome.FAILED, "target-refused"
        message = f"Nothing is restored into {_shown(plan.target or '')}: {REFUSALS[extracted.refusal]}."
    elif extracted.error:
        code = "disk-full-on-host" if extracted.error in NO_ROOM else "host-error"
        outcome, message = Outcome.FAILED, f"On the host: {os.strerror(extracted.error)}."
    elif missing and len(missing) == len(plan.entries):
        outcome, code = Outcome.FAILED, "path-not-found"
        message = f"Nothing was restored: the snapshot holds none of these paths. {_shown(missing[0])}"
    elif bad_count:
        outcome, message = Outcome.WARNED, f"Not everything came back: {bad_count} entries did not."
    return JobReport(
        outcome=outcome,
        error_code=code,
        message=message[:4000],
        warnings_count=bad_count,
        files_count=work.progress.files_count,
        original_bytes=max(facts.written_bytes, work.progress.original_bytes),
        restore=facts,
    )


def _shown(entry: str) -> str:
    return printable(entry_bytes(entry).decode("utf-8", "backslashreplace"))
