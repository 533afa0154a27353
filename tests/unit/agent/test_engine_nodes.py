"""Files made where the file system lacks something."""

from __future__ import annotations

import errno
import functools
import os
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from borg.archive import Archive

from saveos.agent.engine_nodes import Nodes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOMENT = 1_600_000_000_000_000_000


class Item(SimpleNamespace):
    """As Borg's own are."""

    def get(self, name: str, default: Any = None) -> Any:
        """Return one of its values."""
        return getattr(self, name, default)

    def __contains__(self, name: str) -> bool:
        return hasattr(self, name)


ITEM = Item(path="a", mode=stat.S_IFREG | 0o644, mtime=MOMENT)
LINK = Item(path="a", mode=stat.S_IFLNK | 0o777, mtime=MOMENT, source="leads", uid=os.geteuid(), gid=os.getegid())


def restore_attrs(_path: str, item: Any, fd: int) -> None:
    os.fchmod(fd, item.mode)
    os.utime(fd, ns=(item.mtime, item.mtime))


@pytest.fixture
def nodes() -> Nodes:
    return Nodes(SimpleNamespace(noflags=False, restore_attrs=restore_attrs), is_foreign=False)


@pytest.fixture
def by_borg() -> Nodes:
    """As it is: Borg's own way to set attributes."""
    archive = SimpleNamespace(noflags=False, noacls=True, noxattrs=True, numeric_ids=True)
    archive.restore_attrs = functools.partial(Archive.restore_attrs, archive)
    return Nodes(archive, is_foreign=False)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """An open folder, as the ground gives it: nothing in it can be listed by its descriptor."""
    descriptor = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def refuse(*_words: object, **_named: object) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As vfat, exfat and CIFS have it: neither hard links nor files without a name."""
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.delattr(os, "O_TMPFILE")


@pytest.mark.usefixtures("no_links")
def test_file_is_made_where_there_are_no_hard_links(nodes: Nodes, folder: int, tmp_path: Path) -> None:
    nodes.file(folder, "a", ITEM, [b"content"], replace=False)

    assert {"a": b"content"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.usefixtures("no_links")
def test_file_that_came_meanwhile_is_not_replaced(nodes: Nodes, folder: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")

    with pytest.raises(FileExistsError):
        nodes.file(folder, "a", ITEM, [b"content"], replace=False)

    assert {"a": b"mine"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_file_is_there_where_its_mode_cannot_be(
    nodes: Nodes, folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fchmod", refuse)

    with pytest.raises(PermissionError):
        nodes.file(folder, "a", ITEM, [b"content"], replace=False)

    assert {"a": b"content"} == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert (0o600, MOMENT) == (stat.S_IMODE((status := (tmp_path / "a").stat()).st_mode), status.st_mtime_ns)


def test_link_gets_the_attributes_not_what_it_leads_to(by_borg: Nodes, folder: int, tmp_path: Path) -> None:
    (tmp_path / "leads").write_text("not this")

    by_borg.symbolic_link(folder, "a", LINK, replace=False)

    assert ("leads", MOMENT) == (os.readlink(tmp_path / "a"), os.lstat(tmp_path / "a").st_mtime_ns)
    assert MOMENT != (tmp_path / "leads").stat().st_mtime_ns


@pytest.mark.parametrize("target", ["/etc", None], ids=["link", "file"])
def test_what_somebody_puts_in_the_place_of_a_link_gets_no_attributes(
    by_borg: Nodes, folder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str | None
) -> None:
    make = os.symlink

    def exchanged(source: str, name: str, *, dir_fd: int) -> None:
        make(source, name, dir_fd=dir_fd)
        (tmp_path / name).unlink()
        if target:
            make(target, name, dir_fd=dir_fd)
        else:
            (tmp_path / name).write_text("theirs")

    monkeypatch.setattr(os, "symlink", exchanged)

    with pytest.raises(OSError, match="exchanged"):
        by_borg.symbolic_link(folder, "a", LINK, replace=False)

    assert MOMENT != os.lstat(tmp_path / "a").st_mtime_ns
