"""A part of this host's repository verified: a process reads, beside everything else, as it takes no lock."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.failures import Failure
from saveos.agent.reading import with_key
from saveos.agent.verify_words import SaidOfVerify
from saveos.protocol import JobReport, Outcome

if TYPE_CHECKING:
    from saveos.agent.work import Work
    from saveos.protocol import VerifyFacts, VerifyOrder


def verify(work: Work, order: VerifyOrder) -> JobReport:
    """Do a part and return its report. Raises Failure."""
    work.note(phase="verifying", total_bytes=order.bytes_limit)
    facts = _facts(work, order)
    bad = len(facts.damaged)
    if bad:
        work.say(f"{bad} objects cannot be decrypted any more: {', '.join(facts.damaged[:10])}", "error")
    for archive in facts.located[:20]:
        what = "its list of files" if archive.is_listing_damaged else f"{archive.files_count} files"
        work.say(f"{archive.name} needs them: {what}. {', '.join(archive.files[:10])}".rstrip(), "error")
    return JobReport(
        outcome=Outcome.WARNED if bad else Outcome.DONE,
        warnings_count=bad,
        message=f"{facts.objects_count} objects were decrypted; {bad} are damaged.",
        original_bytes=facts.read_bytes,
        verified=facts,
    )


def _facts(work: Work, order: VerifyOrder) -> VerifyFacts:
    with with_key(work.home, work.config, ["verify"], msgspec.json.encode(order)) as process:
        assert process.stdout is not None  # noqa: S101 - asked for
        for line in process.stdout:
            work.go_on()
            with contextlib.suppress(msgspec.MsgspecError):
                said = msgspec.json.decode(line, type=SaidOfVerify)
                if said.facts is not None:
                    return said.facts
                if said.error_code:
                    raise Failure(said.error_code, said.message)
                work.note(original_bytes=said.read_bytes, files_count=said.objects_count)
    work.go_on()
    raise Failure("connection-lost", "What verifies the repository ended without a word.")
