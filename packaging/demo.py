"""The main job on real input: a scratch appliance protects a folder, restores it beside, and shows the board."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support import trees  # noqa: E402 - the checkout is not a package of its own

EMAIL = "demo@example.org"
HOSTNAME = "this-machine"


def main() -> int:
    """Run the demonstration; 0 when the restored tree is the same."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():  # noqa: PLR2004
        print("usage: packaging/run demo FOLDER   (FOLDER must exist)", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1]).resolve()
    scratch = Path(tempfile.mkdtemp(prefix="saveos-demo-"))
    beside = folder.with_name(f"{folder.name}.restored-{secrets.token_hex(3)}")
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell began us with the first one ignored
        signal.signal(number, signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        stack.callback(shutil.rmtree, beside, ignore_errors=True)
        try:
            return _demonstrate(stack, scratch, folder, beside)
        except KeyboardInterrupt:
            print("\nStopping; nothing is left behind.")
            return 0


def _demonstrate(stack: contextlib.ExitStack, scratch: Path, folder: Path, beside: Path) -> int:
    data, port = scratch / "appliance", _free_port()
    password = secrets.token_urlsafe(9)
    _say("Starting a scratch appliance")
    serving = subprocess.Popen(
        [sys.executable, "-m", "saveos", "serve", "--data", str(data), "--port", str(port), "--json"],
        stdout=subprocess.PIPE,
        stderr=(scratch / "appliance.log").open("w"),
        text=True,
        cwd=ROOT,
        start_new_session=True,  # Ctrl-C is ours to hand on
    )
    stack.callback(_end, serving)
    assert serving.stdout is not None  # noqa: S101 - asked for above
    ready = json.loads(serving.stdout.readline())
    _cli(data, "admin", "create", EMAIL, "--password-stdin", stdin=password + "\n")

    _say("Making this machine's executable (the first one is built, about a minute)")
    agent = scratch / "saveos-agent"
    _cli(data, "agent", "provision", HOSTNAME, "--output", str(agent), "--port", str(port))
    _say("Enrolling this machine")
    _agent(scratch, "enrol")

    for turn in ("first", "second"):
        started = time.monotonic()
        _say(f"Backing up {folder}: the {turn} time")
        _agent(scratch, "backup", "--wait", str(folder), show=True)
        print(f"    {time.monotonic() - started:.1f} s")
    for snapshot in _agent(scratch, "snapshots"):
        print(
            f"    {snapshot['started_at'][:19]}  {snapshot['kind']:<11}  {snapshot['files_count']} files,"
            f" {_size(snapshot['original_bytes'])}, added {_size(snapshot['added_bytes'])}"
        )

    _say(f"Restoring beside it: {beside}")
    _agent(scratch, "restore", "latest", "--target", str(beside), show=True)
    restored = beside / folder.relative_to("/")
    different = trees.differences(folder, restored)
    for line in different[:20]:
        print(f"    {line}")
    print(f"    {'The trees are the same.' if not different else f'{len(different)} differences.'}")

    _say(f"The board: {ready['address']}   (also https://localhost:{port})")
    print(f"    e-mail {EMAIL}, password {password}")
    print(f"    Its certificate is its own: root SHA-256 {ready['fingerprint']}")
    print("    Ctrl-C ends the demonstration and removes everything it made.")
    sys.stdout.flush()
    serving.wait()
    return 1 if different else 0


def _cli(data: Path, *arguments: str, stdin: str = "") -> Any:
    command = [sys.executable, "-m", "saveos", *arguments, "--data", str(data), "--json"]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"demo: {done.stderr.strip()}")
    return json.loads(done.stdout)


def _agent(scratch: Path, *arguments: str, show: bool = False) -> Any:
    command = [str(scratch / "saveos-agent"), "--config", str(scratch / "agent" / "config.json"), *arguments]
    if show and sys.stderr.isatty():
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    else:
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"demo: saveos-agent {arguments[0]} failed: {done.stderr or done.stdout}")
    with contextlib.suppress(json.JSONDecodeError):
        answer = json.loads(done.stdout)
        return answer.get("items", answer) if isinstance(answer, dict) else answer
    return None


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(text: str) -> None:
    print(f"==> {text}", flush=True)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


if __name__ == "__main__":
    sys.exit(main())
