"""From one report of progress to the next: rates and the time that remains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.jobs.model import JobProgress

if TYPE_CHECKING:
    from saveos.protocol import JobId, Progress

SMOOTHING_SECONDS = 30.0


def advance(last: JobProgress | None, job_id: JobId, said: Progress) -> JobProgress:
    """Return the new last word. Rates are averages that forget with a time constant of 30 s."""
    now = clock.now()
    bytes_rate = files_rate = 0.0
    if last is not None and said.original_bytes >= last.original_bytes and said.files_count >= last.files_count:
        seconds = max((now - last.updated_at).total_seconds(), 0.05)
        weight = min(1.0, seconds / SMOOTHING_SECONDS) if last.bytes_per_second or last.files_per_second else 1.0
        bytes_rate = _mix(last.bytes_per_second, (said.original_bytes - last.original_bytes) / seconds, weight)
        files_rate = _mix(last.files_per_second, (said.files_count - last.files_count) / seconds, weight)
    return JobProgress(
        job_id=job_id,
        updated_at=now,
        phase=said.phase,
        files_count=said.files_count,
        original_bytes=said.original_bytes,
        compressed_bytes=said.compressed_bytes,
        added_bytes=said.added_bytes,
        total_files_count=said.total_files_count,
        total_bytes=said.total_bytes,
        current_path=said.current_path,
        bytes_per_second=bytes_rate,
        files_per_second=files_rate,
        eta_seconds=_eta(said, bytes_rate, files_rate),
    )


def _mix(old: float, new: float, weight: float) -> float:
    return old + (new - old) * weight


def _eta(said: Progress, bytes_rate: float, files_rate: float) -> float | None:
    """Both counts must be worked off; the slower one tells when. None when no total or no rate is known."""
    remaining = []
    if said.total_bytes > 0 and bytes_rate > 0:
        remaining.append(max(0, said.total_bytes - said.original_bytes) / bytes_rate)
    if said.total_files_count > 0 and files_rate > 0:
        remaining.append(max(0, said.total_files_count - said.files_count) / files_rate)
    return max(remaining) if remaining else None
