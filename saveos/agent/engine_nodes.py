"""Makes files, links and the like on the ground of a restore: whole under their name, or not at all.

Attributes are Borg's business; what it would set by a path that others can exchange is set by descriptors here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from saveos.agent.engine_leftovers import temporary_name
from saveos.agent.ground import address_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS)
SET_ID = stat.S_ISUID | stat.S_ISGID
CAPABILITIES = b"security.capability"


class Nodes:
    """Makes what an archive holds. `is_foreign`: of another host, whose set-id bits and capabilities mean nothing."""

    def __init__(self, archive: Any, *, is_foreign: bool) -> None:
        """Take Borg's flags (immutable and the like) out of its hands: they are set when a name is final."""
        self._archive = archive
        self._is_foreign = is_foreign
        self._has_flags = not archive.noflags
        archive.noflags = True

    def file(self, folder: int, name: str, item: Any, content: Iterable[bytes], *, replace: bool) -> os.stat_result:
        """Write a file and return what it is. Raises PermissionError when it is there, without all its attributes."""
        descriptor, temporary = _nameless(folder)
        try:
            size = _write(descriptor, content)
            _require_size(item, size)
            refused = self._set_what_goes(name, item, descriptor)
            status = os.fstat(descriptor)
            if temporary is None:
                magic = address_of(descriptor, "").rstrip("/")
                place(lambda new: os.link(magic, new, dst_dir_fd=folder), folder, name, replace=replace)
            else:
                _rename(folder, temporary, name, replace=replace)
            self._set_flags(name, item, descriptor)
        except BaseException:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
            raise
        finally:
            os.close(descriptor)
        if refused is not None:
            raise refused
        return status

    def hard_link(self, folder: int, name: str, other: tuple[int, str, os.stat_result], *, replace: bool) -> None:
        """Link to a file that was restored before: (its folder, its name, what it was)."""
        source_folder, source, expected = other

        def link(new: str) -> None:
            os.link(source, new, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)
            made = os.stat(new, dir_fd=folder, follow_symlinks=False)
            if (made.st_dev, made.st_ino) != (expected.st_dev, expected.st_ino):
                os.unlink(new, dir_fd=folder)
                raise OSError(errno.EBUSY, "Somebody exchanged the file that it is a hard link to")

        place(link, folder, name, replace=replace)

    def symbolic_link(self, folder: int, name: str, item: Any, *, replace: bool) -> None:
        """Make a symbolic link."""

        def link(new: str) -> None:
            os.symlink(item.source, new, dir_fd=folder)
            self._set_followed(folder, new, item)

        place(link, folder, name, replace=replace)

    def special(self, folder: int, name: str, item: Any, *, replace: bool) -> None:
        """Make a named pipe or a device."""

        def make(new: str) -> None:
            os.mknod(new, stat.S_IFMT(item.mode) | 0o600, item.get("rdev", 0), dir_fd=folder)
            self._set_followed(folder, new, item)

        place(make, folder, name, replace=replace)

    def set_on_file(self, folder: int, name: str, item: Any, expected: os.stat_result) -> None:
        """Give a file that is there the attributes of the archive."""
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != (expected.st_dev, expected.st_ino):
                raise OSError(errno.EBUSY, "Somebody exchanged it meanwhile")
            self._set_attributes(name, item, descriptor)
            self._set_flags(name, item, descriptor)
        finally:
            os.close(descriptor)

    def set_on_folder(self, folder: int, item: Any) -> None:
        """Give an open folder the attributes of the archive."""
        path = address_of(folder)
        self._harmless(item)
        self._archive.restore_attrs(path, item)
        self._set_flags(path, item, None)

    def _set_what_goes(self, name: str, item: Any, descriptor: int) -> PermissionError | None:
        """Set attributes and return why not all: vfat and exfat know no modes, and content is worth more than those."""
        try:
            self._set_attributes(name, item, descriptor)
        except PermissionError as error:
            os.utime(descriptor, ns=(item.get("atime", item.mtime), item.mtime))
            return error
        return None

    def _set_attributes(self, name: str, item: Any, descriptor: int) -> None:
        self._harmless(item)
        self._archive.restore_attrs(name, item, fd=descriptor)

    def _set_followed(self, folder: int, name: str, item: Any) -> None:
        """Set attributes as `Archive.restore_attrs` does, on exactly this inode."""
        from borg import xattr  # noqa: PLC0415
        from borg.archive import get_item_uid_gid  # noqa: PLC0415
        from borg.platform import acl_set  # noqa: PLC0415

        is_link = stat.S_ISLNK(item.mode)
        self._harmless(item)
        if not hasattr(os, "O_PATH"):
            self._archive.restore_attrs(address_of(folder, name), item, symlink=is_link)
            return
        descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            _require_made(descriptor, item)
            path = address_of(descriptor, "").rstrip("/")  # of a link: itself, it leads no further
            with contextlib.suppress(OSError):
                os.chown(path, *get_item_uid_gid(item, numeric=self._archive.numeric_ids))
            if not is_link:
                os.chmod(path, stat.S_IMODE(item.mode))  # noqa: PTH101 - a magic link, no path
                with contextlib.suppress(OSError):
                    acl_set(path, item, self._archive.numeric_ids)
            xattr.set_all(path, item.get("xattrs", {}), follow_symlinks=True)
            with contextlib.suppress(*((OSError,) if is_link else ())):  # not every file system has times of links
                os.utime(path, ns=(item.get("atime", item.mtime), item.mtime))
        finally:
            os.close(descriptor)

    def _set_flags(self, path: str, item: Any, descriptor: int | None) -> None:
        from borg.platform import set_flags  # noqa: PLC0415

        if self._has_flags and "bsdflags" in item:
            with contextlib.suppress(OSError):
                set_flags(path, item.bsdflags, fd=descriptor)

    def _harmless(self, item: Any) -> None:
        if not self._is_foreign:
            return
        item.mode = item.mode & ~SET_ID
        if CAPABILITIES in item.get("xattrs", {}):
            item.xattrs = type(item.xattrs)({name: v for name, v in item.xattrs.items() if name != CAPABILITIES})


def _require_size(item: Any, size: int) -> None:
    if item.get("size", size) != size:
        raise OSError(errno.EIO, "The snapshot holds another size of it than its content has")


def _require_made(descriptor: int, item: Any) -> None:
    """Raise OSError for something else than was just made, which whoever owns the folder may have put there."""
    is_same = stat.S_IFMT(os.fstat(descriptor).st_mode) == stat.S_IFMT(item.mode)
    if is_same and stat.S_ISLNK(item.mode):  # one that leads elsewhere would be trusted as its new owner's
        is_same = os.readlink("", dir_fd=descriptor) == item.source
    if not is_same:
        raise OSError(errno.EBUSY, "Somebody exchanged it meanwhile")


def place(make: Callable[[str], None], folder: int, name: str, *, replace: bool) -> None:
    """Make something under a name that is free, or in the place of what stands there. Raises FileExistsError."""
    if not replace:
        make(name)
        return
    temporary = temporary_name()
    try:
        make(temporary)
        _rename(folder, temporary, name, replace=True)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _rename(folder: int, temporary: str, name: str, *, replace: bool) -> None:
    """Give the final name, over what stands there or only if nothing does."""
    if replace:
        with contextlib.suppress(NotADirectoryError, FileNotFoundError):
            os.rmdir(name, dir_fd=folder)  # only an empty folder goes
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if status_of(folder, name) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    os.unlink(temporary, dir_fd=folder)


def _nameless(folder: int) -> tuple[int, str | None]:
    """Open a new file that has no name yet, so that nothing is left when we are killed; else one of its own name."""
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder), None
        except OSError as error:
            if error.errno not in NO_NAMELESS:
                raise
    name = temporary_name()
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, 0o600, dir_fd=folder), name


def _write(descriptor: int, content: Iterable[bytes]) -> int:
    """Write, leaving holes where there are only zeros; return how long it is."""
    from borg.constants import zeros  # noqa: PLC0415

    with open(descriptor, "wb", closefd=False) as file:
        for data in content:
            if zeros.startswith(data):
                file.seek(len(data), os.SEEK_CUR)
            else:
                file.write(data)
        size = file.tell()
        file.truncate(size)
    return size
