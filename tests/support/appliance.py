"""A real `saveos serve` in a process of its own, and a client that speaks to it over TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from saveos import config
from tests.support.executable import seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

START_SECONDS = 120
EMAIL = "admin@example.org"
PASSWORD = "correct horse battery staple"


@dataclass
class Answer:
    """A response: status, headers in lower case, body as JSON or bytes."""

    status: int
    headers: dict[str, str]
    body: Any

    def expect(self, status: int) -> Any:
        """Return the body, or fail with what came instead."""
        assert status == self.status, (self.status, self.body)
        return self.body


@dataclass
class Appliance:
    """One appliance: its folder outlives its process, so that it can be killed and started again."""

    data: Path
    flags: list[str] = field(default_factory=list)
    port: int = 0
    process: subprocess.Popen[str] | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    recovery_code: str = ""

    @classmethod
    @contextlib.contextmanager
    def started(cls, folder: Path, *flags: str) -> Iterator[Appliance]:
        """Start one in a folder; stop it at the end."""
        folder.mkdir(parents=True, exist_ok=True)
        appliance = cls(folder / "data", list(flags))
        appliance.start()
        try:
            yield appliance
        finally:
            appliance.stop()

    def start(self) -> None:
        """Start and wait until it says that it is ready; the port stays the same over restarts."""
        log = (self.data.parent / "appliance.log").open("a")
        arguments = ["serve", "--data", str(self.data), "--port", str(self.port), "--json", *self.flags]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "saveos", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
            | {"PYTHONFAULTHANDLER": "1"},
        )  # where NiceGUI sees that variable, it compresses nothing
        assert self.process.stdout is not None
        too_long = threading.Timer(START_SECONDS, self.process.send_signal, [signal.SIGABRT])  # it says where it hangs
        too_long.daemon = True
        too_long.start()
        line = self.process.stdout.readline()
        too_long.cancel()
        assert line, (self.data.parent / "appliance.log").read_text()[-3000:]
        self.ready = json.loads(line)
        self.port = int(self.ready["address"].rsplit(":", 1)[1])

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the process and return its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(how)
        code = self.process.wait(timeout=40)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def kill(self) -> None:
        """End it as a power cut would."""
        self.stop(signal.SIGKILL)

    def context(self, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
        """Trust this appliance's root alone; optionally present a client certificate."""
        context = ssl.create_default_context(cafile=str(self.data / "authority" / "root.pem"))
        if certificate:
            context.load_cert_chain(certificate, key)
        return context

    def connect(self, name: str = "localhost", context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """Open a TLS connection under a server name."""
        raw = socket.create_connection(("127.0.0.1", self.port), timeout=70)
        return (context or self.context()).wrap_socket(raw, server_hostname=name)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        name: str = "localhost",
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send one request; `token` None means the administrator's, "" none."""
        bearer = self.token if token is None else token
        sent = {"content-type": "application/json", **({"authorization": f"Bearer {bearer}"} if bearer else {})}
        sent |= dict(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port)  # HTTPS would load all that the system trusts
        with contextlib.closing(connection):
            connection.sock = self.connect(name, context)
            payload = body if isinstance(body, bytes) or body is None else json.dumps(body)
            connection.request(method, path, payload, sent)
            response = connection.getresponse()
            raw = response.read()
        received = {key.lower(): value for key, value in response.getheaders()}
        is_json = "json" in received.get("content-type", "")
        return Answer(response.status, received, json.loads(raw) if is_json and raw else raw)

    def set_up(self) -> None:
        """Create the administrator through the printed link, and an API token; the agent's executable is there."""
        seed(config.load({"data": str(self.data)}, {}))
        setup_token = self.ready["setup"].split("#")[1]
        body = {"setup_token": setup_token, "email": EMAIL, "password": PASSWORD}
        self.recovery_code = self.call("POST", "/api/v1/setup", body).expect(201)["recovery_code"]
        answer = self.call("POST", "/api/v1/session", {"email": EMAIL, "password": PASSWORD})
        cookie = answer.headers["set-cookie"].split(";")[0]
        made = self.call("POST", "/api/v1/tokens", {"name": "tests"}, headers={"cookie": cookie})
        self.token = made.expect(201)["token"]

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the appliance's command line on the same folder."""
        return subprocess.run(
            [sys.executable, "-m", "saveos", *arguments, "--data", str(self.data), "--json"],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job."""
        job: dict[str, Any] = self.call("GET", f"/api/v1/jobs/{job_id}").expect(200)
        return job

    def wait_for_job(self, job_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until a job has ended."""
        return wait_until(
            lambda: (job := self.job(job_id))["state"] not in ("queued", "running") and job,
            seconds,
            f"job {job_id} to end",
        )

    def snapshots(self, agent_id: str) -> list[dict[str, Any]]:
        """Return an agent's snapshots, newest first."""
        items: list[dict[str, Any]] = self.call("GET", f"/api/v1/backup/{agent_id}/snapshots").expect(200)["items"]
        return items


def wait_until(condition: Any, seconds: float, what: str) -> Any:
    """Return the condition's first true value; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.1)
    message = f"waited {seconds} s for {what}"
    raise AssertionError(message)


def environment() -> dict[str, str]:
    """Return this process's environment without what steers TLS."""
    return {name: value for name, value in os.environ.items() if "CERT" not in name and "CA_BUNDLE" not in name}
