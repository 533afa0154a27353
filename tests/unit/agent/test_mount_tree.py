"""The tree of a mount, and what opening its files says."""

from __future__ import annotations

import errno
import stat
from typing import Any, cast

from saveos.agent.mount_fuse import OPEN, Server
from saveos.agent.mount_tree import ROOT, Node, Tree

FILE = stat.S_IFREG | 0o644
WHOLE = Node(mode=FILE, size_bytes=3, chunks=((bytes(32), 3, 3),))
NAME = Node(mode=FILE)


def opened(tree: Tree, name: bytes) -> int:
    """Return the error of opening a file, 0 when there is none."""
    answer = Server(-1, tree, cast("Any", None))._answer(OPEN, tree.names(ROOT)[name], b"")
    return -answer[0]


def test_hard_link_whose_file_is_not_there_cannot_be_opened() -> None:
    tree = Tree()
    tree.add(b"first", WHOLE, is_master=True)
    tree.add(b"second", NAME, b"first")
    tree.add(b"lost", NAME, b"elsewhere")
    tree.add(b"empty", NAME)

    names = tree.names(ROOT)

    assert names[b"first"] == names[b"second"]
    assert [0, 0, errno.EIO] == [opened(tree, name) for name in (b"second", b"empty", b"lost")]
