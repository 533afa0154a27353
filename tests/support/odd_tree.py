"""A tree with everything that a restore must bring back."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make(root: Path) -> None:
    """Fill the folder. As root it also has foreign owners and devices."""
    root.mkdir(parents=True)
    top = os.fsencode(root)
    (root / "plain.txt").write_text("hello\n")
    (root / "empty").touch()
    (root / "random.bin").write_bytes(os.urandom(3_000_000))
    for name in (
        b"not-utf8-\xff\xfe",
        b"new\nline",
        b"tab\tquote'\"",
        b" leading and trailing ",
        b"x" * 255,
        b"-dash",
        b"*?[a]",
    ):
        with open(os.path.join(top, name), "wb") as file:
            file.write(name)
    (root / "ünïcödé").mkdir()
    (root / "ünïcödé" / "日本語").write_text("text")
    os.link(root / "random.bin", root / "hard-link")
    os.symlink("plain.txt", root / "relative-link")
    os.symlink("/nowhere/at/all", root / "dangling-link")
    os.symlink(b"bad-\xff", os.path.join(top, b"link-to-bytes"))
    os.mkfifo(root / "pipe")
    with (root / "sparse").open("wb") as file:
        file.truncate(200 * 1024**2)
        file.seek(100 * 1024**2)
        file.write(b"in the middle")
    (root / "modes").mkdir(mode=0o700)
    for mode in (0o000, 0o400, 0o644, 0o755, 0o4755, 0o2755, 0o1777):
        path = root / "modes" / f"{mode:04o}"
        path.write_text("m")
        path.chmod(mode)
    (root / "empty-folder").mkdir(mode=0o2770)
    os.setxattr(root / "plain.txt", "user.comment", b"\x00binary\xff")
    subprocess.run(["setfacl", "-m", "u:1234:rw,g:4321:r", str(root / "plain.txt")], check=True)
    subprocess.run(["setfacl", "-d", "-m", "u:1234:rwx", str(root / "empty-folder")], check=True)
    if os.geteuid() == 0:
        os.chown(root / "empty", 4242, 2424)
        os.lchown(root / "relative-link", 77, 88)
        os.mknod(root / "device", 0o20600, os.makedev(1, 3))
    deep = root
    for number in range(30):
        deep = deep / f"level-{number:02d}-with-a-long-name"
        deep.mkdir()
    (deep / "bottom").write_text("down here")
    moment = 1_234_567_890_123_456_789
    os.utime(root / "plain.txt", ns=(moment, moment))
    os.utime(root / "relative-link", ns=(moment, moment), follow_symlinks=False)
    os.utime(root / "empty-folder", ns=(moment, moment))


def change(root: Path) -> None:
    """Change it as a day of work would."""
    (root / "plain.txt").write_text("changed\n")
    (root / "added").write_bytes(os.urandom(200_000))
    (root / "ünïcödé" / "日本語").unlink()
    (root / "modes" / "0644").chmod(0o600)
