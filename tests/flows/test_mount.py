"""A snapshot, mounted read-only on the host by the kernel's own FUSE."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import odd_tree
from tests.support.agent import RealAgent, back_up_only, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.trees import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE_BYTES = 40 * 1024**2


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("files") / "tree"
    odd_tree.make(tree)
    (tree / "large").write_bytes(os.urandom(LARGE_BYTES))
    return tree


@pytest.fixture(scope="module")
def host(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    folder = tmp_path_factory.mktemp("mount")
    with Appliance.started(folder / "appliance") as appliance:
        appliance.set_up()
        put_base(appliance)
        back_up_only(appliance, tree)
        agent = RealAgent.enrolled(appliance, folder / "host")
        agent.start_daemon()
        agent.first_backup()
        agent.stop()
        yield agent


class Mount:
    """`saveos-agent mount`, running."""

    def __init__(self, host: RealAgent, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.process = host.start("mount", "latest", str(folder))
        wait_until(lambda: os.path.ismount(folder) or self.process.poll() is not None, 60, "the mount")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


@pytest.fixture
def mounted(host: RealAgent, tmp_path: Path) -> Iterator[Mount]:
    made = Mount(host, tmp_path / "mnt")
    yield made
    if made.process.poll() is None:
        made.end()


def seen(mounted: Mount, tree: Path) -> Path:
    return mounted.folder / str(tree)[1:]


def test_mounted_tree_is_the_one_that_was_backed_up(mounted: Mount, tree: Path) -> None:
    found = differences(tree, seen(mounted, tree))

    assert [] == [line for line in found if "its holes are gone" not in line and "posix_acl" not in line]


def test_part_of_a_large_file_is_read_from_the_middle(mounted: Mount, tree: Path) -> None:
    with (seen(mounted, tree) / "large").open("rb") as copy, (tree / "large").open("rb") as original:
        for offset in (LARGE_BYTES - 1000, 11_000_003, 0, LARGE_BYTES):
            copy.seek(offset)
            original.seek(offset)

            assert original.read(70_000) == copy.read(70_000)


def test_nothing_can_be_changed(mounted: Mount, tree: Path) -> None:
    place = seen(mounted, tree)
    attempts = (
        lambda: (place / "large").open("ab"),
        (place / "new").touch,
        (place / "large").unlink,
        lambda: (place / "large").chmod(0o600),
        lambda: os.setxattr(place / "large", b"user.x", b"y"),
    )

    for attempt in attempts:
        with pytest.raises(OSError, match="Read-only") as refused:
            attempt()

        assert errno.EROFS == refused.value.errno


def test_mount_ends_well_when_somebody_unmounts_it(mounted: Mount) -> None:
    subprocess.run(["umount", str(mounted.folder)], check=True)

    assert 0 == mounted.process.wait(30)


def test_mount_is_taken_away_when_the_command_is_ended_or_killed(host: RealAgent, tmp_path: Path) -> None:
    ended, killed = Mount(host, tmp_path / "one"), Mount(host, tmp_path / "two")

    code = ended.end()
    killed.end(signal.SIGKILL)

    assert 0 == code
    wait_until(lambda: not os.path.ismount(ended.folder) and not os.path.ismount(killed.folder), 20, "the end")
    wait_until(lambda: not host.leftovers(), 20, "its processes to end")
    assert [] == list(killed.folder.iterdir())


def test_mount_on_a_folder_that_holds_something_is_refused(host: RealAgent, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = host.run("mount", "latest", str(tmp_path))

    assert 2 == done.returncode
    assert "is not an empty folder" in done.stderr


def test_mount_on_a_link_is_refused(host: RealAgent, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mnt").symlink_to(tmp_path / "elsewhere")

    done = host.run("mount", "latest", str(tmp_path / "mnt"))

    assert 2 == done.returncode
    assert "is not an empty folder" in done.stderr


def test_mount_without_the_right_to_says_so(host: RealAgent, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    words = host.words("--json", "mount", "latest", str(tmp_path / "mnt"))
    unshared = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", *words]

    done = subprocess.run(unshared, capture_output=True, text=True, timeout=60, check=False)

    assert 1 == done.returncode
    assert '"no-fuse"' in done.stdout
