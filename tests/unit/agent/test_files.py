"""The agent's files: stamps, configuration, commands, sizes."""

import contextlib
import os
import threading
from pathlib import Path

import msgspec
import pytest

from saveos.agent import __main__ as command_line
from saveos.agent import restores, sizing
from saveos.agent.failures import Failure
from saveos.agent.settings import Config, Home, read_stamp, write_private
from saveos.installers import stamp as stamping
from saveos.protocol import AgentId, Stamp

STAMP = Stamp(addresses=("backup.example.org:8000",), root_certificate="PEM", token="secret", hostname="web-01")
CONFIG = Config(addresses=("a:1",), agent_id=AgentId("agt_1"), hostname="h", recovery_public_key="k")


def test_read_stamp_reads_what_the_appliance_writes(tmp_path: Path) -> None:
    base, output = tmp_path / "base", tmp_path / "agent"
    base.write_bytes(os.urandom(100_000))

    stamping.write(base, STAMP, output)

    assert STAMP == read_stamp(output)


@pytest.mark.parametrize(
    "content", [b"", b"x" * 100, b"{}", b"\xff" * 8 + b"SAVEOSP1", b"x" * 50 + b"\0" * 8 + b"SAVEOSP1"]
)
def test_read_stamp_of_a_file_without_one_is_none_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)

    with contextlib.suppress(msgspec.MsgspecError):
        assert read_stamp(path) is None


def test_write_private_is_for_its_owner_alone_and_leaves_no_scrap(tmp_path: Path) -> None:
    write_private(tmp_path / "new" / "file", b"1")
    write_private(tmp_path / "new" / "file", b"2")

    assert [b"2"] == [path.read_bytes() for path in (tmp_path / "new").iterdir()]
    assert 0o600 == (tmp_path / "new" / "file").stat().st_mode & 0o777


def test_write_private_that_fails_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config.json"
    write_private(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_private(path, b"new")

    assert [b"old"] == [entry.read_bytes() for entry in tmp_path.iterdir()]


def test_load_gives_back_what_save_took(tmp_path: Path) -> None:
    home = Home(tmp_path / "config.json")
    home.save(CONFIG)

    assert CONFIG == home.load()


def test_load_before_enrolment_is_none(tmp_path: Path) -> None:
    assert Home(tmp_path / "config.json").load() is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/hosts", "etc/hosts"),
        ("a/b", "a/b"),
        ("/", ""),
        ("a//b/", "a/b"),
        ("a\\b", "a\\\\b"),
        ("\udcff", "\\xff"),
        ("-x", "-x"),
    ],
)
def test_inside_names_a_path_as_archives_do(path: str, expected: str) -> None:
    assert expected == restores.inside(path)


@pytest.mark.parametrize("path", ["../a", "a/../b", "/..", "a\0b"])
def test_inside_refuses_a_path_that_climbs(path: str) -> None:
    with pytest.raises(Failure):
        restores.inside(path)


def test_measure_counts_files_and_bytes_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "one").write_bytes(b"x" * 10)
    (tmp_path / "two").write_bytes(b"x" * 5)
    (tmp_path / "link").symlink_to("/")

    size = sizing.measure([str(tmp_path)], threading.Event(), one_file_system=False)

    assert sizing.Size(2, 15) == size


@pytest.mark.parametrize(
    "words",
    [
        ["restore", "latest", "--target", "/t", "a", "b"],
        ["restore", "latest", "a", "b", "--target", "/t"],
        ["restore", "latest", "a", "--target", "/t", "b"],
    ],
)
def test_parse_takes_paths_on_either_side_of_the_options(words: list[str]) -> None:
    options = command_line._parse(words)

    assert ("latest", "/t", ["a", "b"]) == (options.snapshot, options.target, options.paths)


def test_parse_takes_a_path_with_a_dash_behind_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert ["-x"] == command_line._parse(["restore", "latest", "--target", "/t", "--", "-x"]).paths
    with pytest.raises(SystemExit):
        command_line._parse(["restore", "latest", "--bogus"])

    assert "unrecognized arguments" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--config", "c", "status", "--json"], ["status", "--json", "--config", "c"]])
def test_parse_takes_common_options_on_either_side_of_the_command(words: list[str]) -> None:
    options = command_line._parse(words)

    assert ("c", True) == (options.config, options.json)
