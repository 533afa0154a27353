"""What every test shares: a clean environment, one appliance for those that only talk to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import Appliance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.s3 import Weed

# Trust is given by the tests explicitly; these variables would override it in some clients.
for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
    os.environ.pop(name, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long rows of the fault matrix to those who ask for them: `-m faults`, or `-m matrix`."""
    if not config.option.markexpr:
        left = [item for item in items if item.get_closest_marker("matrix")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if not item.get_closest_marker("matrix")]


@pytest.fixture(autouse=True)
def usual_umask() -> None:
    """Make files as most people do: an appliance that was opened in this process has changed that for itself."""
    os.umask(0o022)


@pytest.fixture(scope="session", autouse=True)
def no_pytest_for_others() -> None:
    """Let the processes that tests start find what they find on an appliance, which has no pytest."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parent / "support" / "absent")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weed]:
    """A real S3 store."""
    from tests.support.s3 import seaweed  # the library takes a quarter of a second to import

    with seaweed(tmp_path_factory.mktemp("seaweed")) as weed:
        yield weed


@pytest.fixture(scope="session")
def shared_appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """A serving appliance with an administrator, for tests that leave no trace which others would mind."""
    with Appliance.started(tmp_path_factory.mktemp("appliance")) as appliance:
        appliance.set_up()
        yield appliance
