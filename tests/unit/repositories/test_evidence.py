"""Evidence on disk: whole or not at all, and what a repository's own log tells beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from saveos.repositories import evidence
from saveos.repositories.evidence import COMMIT, Counter, Evidence

if TYPE_CHECKING:
    from pathlib import Path

A, B = "aa" * 32, "bb" * 32


def test_evidence_is_read_as_it_was_written_and_what_is_torn_is_passed_over(tmp_path: Path) -> None:
    said = [Evidence(base=number, at=datetime(2026, 1, 1, tzinfo=UTC), put_count=3) for number in range(2)]
    for one in said:
        evidence.write(tmp_path / "new", one)
    (tmp_path / "new" / "09-torn.json").write_bytes(b'{"base"')

    found = [one for _path, one in evidence.read_all(tmp_path / "new")]

    assert said == found
    assert [] == list(evidence.read_all(tmp_path / "nowhere"))


def test_counter_tells_what_lay_before_the_settled_segment(tmp_path: Path) -> None:
    counter = Counter(tmp_path, "job_1", 10, (A, B))
    counter.note_gone(bytes.fromhex(A), 10, is_replaced=False)
    counter.note_gone(b"x" * 32, 11, is_replaced=False)  # came after the last snapshot
    counter.note_gone(b"y" * 32, 3, is_replaced=True)
    counter.note_manifest(700)
    counter.add(put_count=2)

    counter.keep(12)
    counter.forget()
    counter.keep(13)

    first, second = (one for _path, one in evidence.read_all(tmp_path))
    assert (12, "job_1", 1, 1, (A,), 700, 2) == (
        first.base, first.job_id, first.deleted_count, first.replaced_count, first.archive_ids, first.manifest_bytes,
        first.put_count,
    )  # fmt: skip
    assert (13, 0, 0, (), 0) == (
        second.base, second.deleted_count, second.put_count, second.archive_ids, second.manifest_bytes,
    )  # fmt: skip


def test_last_commit_is_the_newest_segment_that_ends_with_one(tmp_path: Path) -> None:
    assert -1 == evidence.last_commit(tmp_path)
    for number, content in {2: COMMIT, 9: b"BORG_SEG" + COMMIT, 1001: COMMIT, 1002: COMMIT[:-1], 1003: b""}.items():
        path = tmp_path / "data" / str(number // 1000) / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    assert 1001 == evidence.last_commit(tmp_path)
    (tmp_path / "data" / "1" / "1001").unlink()
    assert 9 == evidence.last_commit(tmp_path)
