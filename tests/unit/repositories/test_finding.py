"""Repositories are found in folders that may hold anything."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos.repositories import finding, labels
from saveos.repositories.model import Label, Seal

if TYPE_CHECKING:
    from pathlib import Path

ID = "ab" * 32
CONFIG = f"[repository]\nversion = 1\nsegments_per_dir = 1000\nid = {ID}\n"


def make(folder: Path, config: str = CONFIG) -> Path:
    (folder / "data" / "0").mkdir(parents=True)
    (folder / "config").write_text(config)
    (folder / "data" / "0" / "1").write_bytes(b"BORG_SEG" * 10)
    return folder


def label(**said: object) -> bytes:
    usual = {"tenant_id": "ten_1", "tenant": "Default", "agent_id": "agt_1", "hostname": "web", "repository_id": ID}
    return msgspec.json.encode(Label(**{**usual, **said}))  # type: ignore[arg-type]


def test_repositories_are_found_with_size_and_label(tmp_path: Path) -> None:
    repository = make(tmp_path / "repositories" / "ten_1" / "agt_1")
    labels.place(repository).write_bytes(label(seals=(Seal(public_key="AA==", sealed="BB=="),)))

    [found] = finding.below(tmp_path)

    assert (str(repository), ID, 80, 1) == (found.path, found.repository_id, found.bytes, found.segments_count)
    assert found.label is not None
    assert ("web", 1) == (found.label.hostname, len(found.label.seals))


def test_folder_that_is_a_repository_itself_is_found(tmp_path: Path) -> None:
    assert 1 == len(finding.below(make(tmp_path / "one")))


def test_checkpoints_are_not_found(tmp_path: Path) -> None:
    make(tmp_path / ".quarantine" / "ten_1" / "agt_1" / "chk_1")

    assert [] == finding.below(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        "",
        "[repository]\nversion = 2\nid = " + ID,
        "[repository]\nversion = 1\nid = ../../etc",
        "[repository]\nversion = 1",
        "[repository\n",
        "id = %(x)s",
        CONFIG + "#" * 100_000,
        "\0" * 100,
    ],
)
def test_strange_configuration_is_no_repository(tmp_path: Path, config: str) -> None:
    make(tmp_path / "one", config)

    assert [] == finding.below(tmp_path)


def test_links_pipes_and_loops_are_not_followed(tmp_path: Path) -> None:
    elsewhere = make(tmp_path / "elsewhere")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "loop").symlink_to(folder)
    (folder / "away").symlink_to(elsewhere)
    (folder / "linked").mkdir()
    (folder / "linked" / "data").symlink_to(elsewhere / "data")
    (folder / "linked" / "config").write_text(CONFIG)
    make(folder / "pipe")
    (folder / "pipe" / "config").unlink()
    os.mkfifo(folder / "pipe" / "config")
    make(folder / "config-linked")
    (folder / "config-linked" / "config").unlink()
    (folder / "config-linked" / "config").symlink_to(elsewhere / "config")

    assert [] == finding.below(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format":"other"}', label(repository_id="cd" * 32), b"x" * 200_000]
)
def test_strange_label_is_passed_over(tmp_path: Path, content: bytes) -> None:
    repository = make(tmp_path / "agt_1")
    labels.place(repository).write_bytes(content)

    [found] = finding.below(tmp_path)

    assert found.label is None


def test_label_that_is_a_link_is_passed_over(tmp_path: Path) -> None:
    repository = make(tmp_path / "there" / "agt_1")
    (tmp_path / "label").write_bytes(label())
    labels.place(repository).symlink_to(tmp_path / "label")

    [found] = finding.below(tmp_path / "there")

    assert found.label is None


def test_deep_folders_are_left_alone(tmp_path: Path) -> None:
    make(tmp_path.joinpath(*"abcdefghijkl"))

    assert [] == finding.below(tmp_path)
