"""Where a snapshot is mounted: a folder that is opened once, so that nobody who exchanges names moves the mount."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from typing import Self

DEVICE = "/dev/fuse"
READ_ONLY = 1 | 2 | 4  # mount(2): MS_RDONLY, MS_NOSUID, MS_NODEV
DETACH, NO_FOLLOW = 2, 8  # umount2(2): MNT_DETACH, UMOUNT_NOFOLLOW
OPTIONS = "default_permissions"


class NoFuse(Exception):
    """Why nothing can be mounted here, for a person."""


class NoPlace(Exception):
    """Why nothing is mounted on this folder, for a person."""


class Place:
    """An empty folder, and the one that it is in."""

    def __init__(self, folder: str) -> None:
        """Open it. Raises NoPlace when it is no empty folder, or a link to one."""
        self.folder = folder
        above, self._name = os.path.split(folder.rstrip("/"))
        if self._name in ("", ".", ".."):
            above, self._name = os.path.split(os.path.realpath(folder))
        flags = os.O_DIRECTORY | os.O_CLOEXEC
        try:
            self._above = os.open(above or ".", flags)
            try:
                self._here = os.open(self._name, flags | os.O_NOFOLLOW, dir_fd=self._above)
            except OSError:
                os.close(self._above)
                raise
        except OSError as error:
            raise NoPlace(f"{folder} is not an empty folder.") from error
        if os.listdir(self._here):  # noqa: PTH208 - by descriptor
            self.close()
            raise NoPlace(f"{folder} is not an empty folder.")

    def close(self) -> None:
        """Let go of the folders."""
        os.close(self._here)
        os.close(self._above)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def mount(self) -> int:
        """Mount here and return the descriptor that leads to the kernel. Raises NoFuse."""
        if os.geteuid():
            return self._mount_as_user(f"ro,nosuid,nodev,fsname=saveos,subtype=saveos,{OPTIONS}")
        try:
            descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise NoFuse(f"This machine has no FUSE ({DEVICE}: {error.strerror}).") from error
        data = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0,{OPTIONS}".encode()
        library = ctypes.CDLL(None, use_errno=True)
        if library.mount(b"saveos", f"/proc/self/fd/{self._here}".encode(), b"fuse.saveos", READ_ONLY, data):
            number = ctypes.get_errno()
            os.close(descriptor)
            raise NoFuse(f"The system does not mount on {self.folder}: {os.strerror(number)}.")
        return descriptor

    def unmount(self) -> None:
        """Take the mount away; who still has a file open there keeps it until then."""
        if os.geteuid():  # that program looks itself whose mount it is
            subprocess.run([_helper(), "-u", "-z", "--", self.folder], check=False, stderr=subprocess.DEVNULL)
        else:
            path = os.fsencode(f"/proc/self/fd/{self._above}/{self._name}")
            ctypes.CDLL(None).umount2(path, DETACH | NO_FOLLOW)

    def _mount_as_user(self, options: str) -> int:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            done = subprocess.run(
                [_helper(), "-o", options, "--", self.folder],
                env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                capture_output=True,
                check=False,
            )
            if done.returncode:
                raise NoFuse(done.stderr.decode("utf-8", "backslashreplace").strip() or "fusermount3 failed.")
            _data, descriptors, _flags, _address = socket.recv_fds(ours, 1, 1)
        return descriptors[0]


def _helper() -> str:
    found = shutil.which("fusermount3") or shutil.which("fusermount")
    if found is None:
        raise NoFuse("Only root mounts here: fusermount3 (the package fuse3) is not installed.")
    return found
