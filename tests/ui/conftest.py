"""One appliance, set up in the browser, and journeys through its dashboard in real Chromium."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from saveos import config
from saveos.installers import bases
from saveos.protocol import Platform
from tests.support.appliance import Appliance
from tests.ui.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
EMAIL = "anna@example.org"
PASSWORD = "correct horse battery staple"


class Driver:
    """The script that drives the browser: one for all journeys, each with cookies and storage of its own."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.journey: Journey | None = None

    def begin(self, name: str, options: dict[str, Any]) -> Journey:
        """Begin a journey; in a new browser, if the one before was left on its way or has died."""
        if self.journey is not None and self.journey.wrong is None:
            self.end()
        if self.process is None or self.process.poll() is not None:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(["node", "journeys.mjs"], cwd=HERE, text=True, **pipes)
        self.journey = Journey(self.process)
        self.journey.say(json.dumps({"name": name, **options}))
        return self.journey

    def end(self) -> None:
        """Close the browser."""
        if self.process is not None:
            self.process.terminate()  # which closes the browser; the end of its input ends the script
            self.process.communicate(timeout=60)


class Journey:
    """A journey in the browser, told what it needs and telling what happens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.wrong: list[str] | None = None

    def until(self, event: str) -> dict[str, Any]:
        """Wait until the script tells this; fail with what went wrong if it ends before."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told: dict[str, Any] = json.loads(line)
            if told["event"] == "end":
                self.wrong = told["wrong"]
            if told["event"] == event:
                return told
            if self.wrong is not None:
                break
        message = f"the journey ended before {event!r}: {self.wrong}"
        raise AssertionError(message)

    def say(self, line: str) -> None:
        """Give the script a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def go_on(self) -> None:
        """Tell a script that waits for it that the test has done its part."""
        self.say("go on")

    def end(self) -> None:
        """Wait for the end; nothing may have been found wrong."""
        assert self.until("end")["wrong"] == []


class Dashboard:
    """The appliance and how to take a journey through it."""

    def __init__(self, appliance: Appliance, driver: Driver, folder: Path) -> None:
        self.appliance = appliance
        self.driver = driver
        self.folder = folder
        self.fleet = Fleet(appliance, folder / "hosts")
        self.recovery_code = ""

    @property
    def base(self) -> Path:
        """Where the appliance looks for the executable that it stamps."""
        settings = config.load({"data": str(self.appliance.data)}, {})
        return settings.bases / bases.name_of(Platform.LINUX)

    def put_base(self) -> None:
        """Put something there: the real build takes both processors for half a minute and has tests of its own."""
        self.base.parent.mkdir(exist_ok=True)
        self.base.write_bytes(b"executable" * 1000)

    def journey(self, name: str, **options: Any) -> Journey:
        """Begin one, in English and in the system's colours, whatever the one before left."""
        if self.appliance.token:
            liked = {"language": "", "theme": "system"}
            self.appliance.call("PUT", "/api/v1/session/preferences", liked).expect(204)
        given = {
            "address": self.appliance.ready["address"],
            "email": EMAIL,
            "password": PASSWORD,
            "storage": str(self.folder / "storage.json"),
            **options,
        }
        return self.driver.begin(name, given)

    def sign_in(self) -> None:
        """Give the test an API token of its own."""
        body = {"email": EMAIL, "password": PASSWORD}
        answer = self.appliance.call("POST", "/api/v1/session", body, token="")
        cookie = answer.headers["set-cookie"].split(";")[0]
        made = self.appliance.call("POST", "/api/v1/tokens", {"name": "tests"}, headers={"cookie": cookie}, token="")
        self.appliance.token = made.expect(201)["token"]


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """One browser."""
    driver = Driver()
    yield driver
    driver.end()


@pytest.fixture(scope="session")
def dashboard(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """An appliance whose administrator was made in the browser, through the printed link."""
    folder = tmp_path_factory.mktemp("dashboard")
    with Appliance.started(folder, "--address", "127.0.0.1") as appliance:
        made = Dashboard(appliance, driver, folder)
        made.put_base()
        journey = made.journey("setup", setup=appliance.ready["setup"])
        made.recovery_code = journey.until("recovery")["code"]
        journey.end()
        made.sign_in()
        yield made
