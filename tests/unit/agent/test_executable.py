"""An executable as a file: its stamp, and what it is without it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from saveos.agent import executable
from saveos.agent.settings import read_stamp, stamp_size
from saveos.installers import stamp
from saveos.protocol import STAMP_MAGIC, Stamp

if TYPE_CHECKING:
    from pathlib import Path

PAYLOAD = Stamp(addresses=("localhost:8000",), root_certificate="pem", token="token")
BODY = bytes(range(256)) * 40


@pytest.fixture
def stamped(tmp_path: Path) -> Path:
    (tmp_path / "base").write_bytes(BODY)
    stamp.write(tmp_path / "base", PAYLOAD, tmp_path / "stamped")
    return tmp_path / "stamped"


def test_stamp_of_an_executable_is_what_was_written_behind_its_base(stamped: Path) -> None:
    assert stamp.trailer(PAYLOAD) == executable.stamp_of(stamped)
    assert PAYLOAD == read_stamp(stamped)


def test_digest_without_the_stamp_is_that_of_the_base(stamped: Path) -> None:
    with stamped.open("rb") as file:
        size = stamped.stat().st_size - stamp_size(file)

        assert hashlib.sha256(BODY).hexdigest() == executable.digest(file, size)


@pytest.mark.parametrize(
    "end",
    [b"", b"x" * 15, STAMP_MAGIC, (2**63).to_bytes(8, "big") + STAMP_MAGIC, (500).to_bytes(8, "big") + STAMP_MAGIC],
    ids=["empty", "short", "magic-alone", "huge", "longer-than-the-file"],
)
def test_stamp_that_is_not_whole_is_none(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "file").write_bytes(b"body" + end if end else b"")

    assert b"" == executable.stamp_of(tmp_path / "file")


def test_build_of_an_agent_from_source_is_unknown() -> None:
    assert "" == executable.own_build()


def test_environment_for_another_executable_is_free_of_this_ones_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_PYI_ARCHIVE_FILE", "_PYI_APPLICATION_HOME_DIR", "_MEIPASS2"):
        monkeypatch.setenv(name, "here")

    made = executable.fresh_environment()

    assert not [name for name in made if name.startswith(("_PYI", "_MEI"))]
    assert "1" == made["PYINSTALLER_RESET_ENVIRONMENT"]
