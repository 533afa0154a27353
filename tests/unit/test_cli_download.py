"""What `saveos download` makes of an appliance that breaks off, and of a disk that takes no more."""

from __future__ import annotations

import argparse
import errno
import http.client
import io
import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from saveos import cli_download, cli_remote
from saveos.cli_remote import Unreachable
from saveos.errors import Conflict, Unavailable
from saveos.protocol import ReadForm

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.cli_remote import Remote
    from saveos.config import Settings

CONTENT = os.urandom(3_000_000)
LINE_BYTES = 2_000_000  # then the line is cut


class Line(io.BytesIO):
    """The body of a response, which ends too early."""

    def __init__(self, status: int, body: bytes, *, is_cut_by_error: bool) -> None:
        super().__init__(body[:LINE_BYTES])
        self.status, self.length, self.headers = status, len(body), {"etag": '"x"'}
        self._is_cut_by_error = is_cut_by_error and len(body) > LINE_BYTES

    def read1(self, size: int | None = -1, /) -> bytes:
        """Give a part, or the end."""
        part = super().read1(-1 if size is None else size)
        if not part and self._is_cut_by_error:
            raise http.client.IncompleteRead(b"")
        return part


class Far:
    """An appliance that sends one file."""

    def __init__(self, *, is_cut_by_error: bool = False) -> None:
        self.ranges: list[str] = []
        self._is_cut_by_error = is_cut_by_error

    def connect(self) -> io.BytesIO:
        """Return what can be closed."""
        return io.BytesIO()

    def ask(self, _connection: Any, _method: str, _path: str, more: dict[str, str], _body: bytes | None = None) -> Line:
        """Send what is asked for."""
        begin = int(more.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.ranges.append(more.get("range", ""))
        status = 206 if begin else 200
        return Line(status, CONTENT[begin:], is_cut_by_error=self._is_cut_by_error)


class Full(io.RawIOBase):
    """A disk that takes so many bytes, refuses once, and takes more then."""

    def __init__(self, room: int, number: int) -> None:
        self.taken, self._room, self._number = bytearray(), room, number

    def writable(self) -> bool:
        """Take bytes."""
        return True

    def write(self, data: Any, /) -> int:
        """Take some."""
        if self._number and len(self.taken) >= self._room:
            number, self._number = self._number, 0
            raise OSError(number, os.strerror(number))
        part = bytes(data)[: self._room - len(self.taken)] if self._number else bytes(data)
        self.taken += part
        return len(part)


def fetch(far: Far, file: Any) -> int:
    return cli_download._Download(cast("Remote", far)).fetch("snp_1", ["p"], ReadForm.FILE, file)


def run(far: Far, output: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(cli_remote, "of", lambda *_: far)
    parsed = argparse.Namespace(snapshot="snp_1", paths=["p"], form=None, output=str(output))
    return cli_download.run(cast("Settings", None), parsed)


@pytest.mark.parametrize("is_cut_by_error", [True, False])
def test_line_that_is_cut_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_cut_by_error: bool) -> None:
    far = Far(is_cut_by_error=is_cut_by_error)

    said = run(far, tmp_path / "one", monkeypatch)

    assert {"file": str(tmp_path / "one"), "bytes": len(CONTENT)} == said
    assert ["", f"bytes={LINE_BYTES}-"] == far.ranges
    assert CONTENT == (tmp_path / "one").read_bytes()
    assert 0o600 == (tmp_path / "one").stat().st_mode & 0o777
    assert ["one"] == os.listdir(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE])
def test_disk_that_takes_no_more_is_no_line_that_was_cut(number: int) -> None:
    far, disk = Far(), Full(1_500_000, number)

    with pytest.raises(Unavailable, match=os.strerror(number)):
        fetch(far, io.BufferedWriter(disk))

    assert [""] == far.ranges


def test_line_that_brings_nothing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = Far()
    monkeypatch.setattr(Line, "read1", lambda *_: b"")

    with pytest.raises(Unreachable):
        run(far, tmp_path / "one", monkeypatch)

    assert cli_download.TRIES == len(far.ranges)
    assert [] == os.listdir(tmp_path)


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(Unavailable, match="No space left"):
        run(Far(), tmp_path / "one", monkeypatch)

    assert [] == os.listdir(tmp_path)


@pytest.mark.parametrize("kind", ["file", "link"])
def test_part_of_somebody_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    other, part = tmp_path / "other", tmp_path / "one.part"
    other.write_bytes(b"mine")
    part.symlink_to(other) if kind == "link" else part.write_bytes(b"mine")

    with pytest.raises(Conflict, match=r"one\.part"):
        run(Far(), tmp_path / "one", monkeypatch)

    assert (b"mine", b"mine") == (other.read_bytes(), part.read_bytes())
