"""A clean Debian machine to install on: neither Python nor Borg nor us, with a real systemd, sharing loopback.

The root is made once with debootstrap and kept as a tarball; each host starts from a fresh copy of it, booted with
systemd-nspawn. Needs root. The guest mounts its own /tmp: put files elsewhere.
"""

from __future__ import annotations

import fcntl
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.executable import cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUITE = "bookworm"
SUITE_GLIBC = (2, 36)
INCLUDED = "systemd,systemd-sysv,acl,attr"
BOOT_SECONDS = 60
HALT_SECONDS = 30
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True)
class CleanHost:
    """A booted host: `path` is its root folder as seen from here, `pid` its init."""

    path: Path
    pid: int

    def run(
        self, command: Sequence[str], *, check: bool = True, seconds: float = 120, text_in: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside as root, in /root, with a plain environment; fail with its output."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "env", "--chdir=/root"]
        done = subprocess.run(
            [*enter, *command],
            env=ENVIRONMENT,
            input=text_in,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=seconds,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{command}: rc {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def copy_in(self, source: Path, target: str) -> str:
        """Copy a file to an absolute path of the host and return that path."""
        inside = self.path / target.lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, inside)
        return target

    def journal(self, unit: str) -> str:
        """Return what a unit logged."""
        return self.run(["journalctl", "--no-pager", "-u", unit], check=False).stdout


@contextmanager
def clean_host(folder: Path, hostname: str = "clean") -> Iterator[CleanHost]:
    """Boot a fresh host whose root lies in `folder`; halt and remove it at the end."""
    root = folder / "root"
    root.mkdir(parents=True)
    try:
        subprocess.run(["tar", "-xf", tarball(), "-C", root, "--numeric-owner", "--xattrs", "--acls"], check=True)
        (root / "etc/hostname").write_text(f"{hostname}\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost {hostname}\n::1 localhost\n")
        with (folder / "console.log").open("wb") as console, _booted(root, console.fileno()) as pid:
            yield CleanHost(root, pid)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _booted(root: Path, console: int) -> Iterator[int]:
    container = subprocess.Popen(
        ["systemd-nspawn", "-q", "-D", root, "--keep-unit", "--register=no", "-b", "--console=pipe", "--timezone=off"],
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=console,
        start_new_session=True,
    )
    try:
        yield _wait_until_up(root, container)
    finally:
        container.send_signal(signal.SIGTERM)
        try:
            container.wait(HALT_SECONDS)
        except subprocess.TimeoutExpired:
            container.kill()
            container.wait()


def _wait_until_up(root: Path, container: subprocess.Popen[bytes]) -> int:
    """Return the pid of the host's init once it says that it is up."""
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline and container.poll() is None:
        pid = _init_below(container.pid)
        if pid is not None:
            state = CleanHost(root, pid).run(["systemctl", "is-system-running"], check=False).stdout.strip()
            if state in ("running", "degraded"):
                return pid
        time.sleep(0.2)
    raise AssertionError("the clean host did not boot:\n" + (root.parent / "console.log").read_text(errors="replace"))


def _init_below(pid: int) -> int | None:
    """Return the descendant that is process 1 of its own namespace."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        status = Path(f"/proc/{child}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        if len(numbers) > 1 and numbers[-1] == "1":
            return int(child)
        if (found := _init_below(int(child))) is not None:
            return found
    return None


def tarball() -> Path:
    """Return the clean root as a tarball, made now (about 40 s) unless there is one."""
    suite, mirror = _suite_and_mirror()
    made = cache() / f"root-{suite}-{platform.machine()}.tar"
    with (made.parent / "root.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _make(suite, mirror, made)
    return made


def _make(suite: str, mirror: str | None, made: Path) -> None:
    with tempfile.TemporaryDirectory(dir=made.parent) as work:
        root, tar = Path(work) / "root", Path(work) / "root.tar"
        command = ["debootstrap", "--variant=minbase", f"--include={INCLUDED}", suite, str(root)]
        done = subprocess.run(
            [*command, mirror] if mirror else command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:].decode(errors="replace")
        for package in (root / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        subprocess.run(["tar", "-cf", tar, "-C", root, "--numeric-owner", "--xattrs", "--acls", "."], check=True)
        tar.replace(made)


def _suite_and_mirror() -> tuple[str, str | None]:
    """Return what to install, and the mirror that this machine's apt uses for it (None: debootstrap's own default).

    Debian 12 where an executable built here runs on it; on a machine with a newer glibc, the machine's own release.
    """
    release = platform.freedesktop_os_release()
    glibc = tuple(int(part) for part in platform.libc_ver()[1].split("."))
    suite = SUITE if glibc <= SUITE_GLIBC else release["VERSION_CODENAME"]
    origin = "Debian" if suite == SUITE else release["ID"].capitalize()
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    mirrors = [
        words[2] for line in listed if (words := line.split())[:2] == [origin, "main"] and "security" not in words[2]
    ]
    return suite, mirrors[0] if mirrors else None
