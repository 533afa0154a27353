"""What kind of machine a host seems to be, and whether it has slept."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from saveos.agent import wake
from saveos.agent.machine import guess

if TYPE_CHECKING:
    from pathlib import Path


def made(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / "class" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
    return folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"dmi__id__chassis_type": "10"}, "laptop"),
        ({"dmi__id__chassis_type": "3", "power_supply__BAT0__type": "Battery"}, "laptop"),
        ({"power_supply__BAT0__type": "Battery", "power_supply__BAT0__scope": "System"}, "laptop"),
        ({"dmi__id__chassis_type": "3", "drm__card0-HDMI__status": "connected"}, "workstation"),
        ({"dmi__id__chassis_type": "3", "drm__card0-HDMI__status": "disconnected"}, "server"),
        (
            {
                "dmi__id__chassis_type": "7",
                "drm__card0-DP__status": "connected",
                "power_supply__mouse__type": "Battery",
                "power_supply__mouse__scope": "Device",
            },
            "workstation",
        ),
        ({"dmi__id__chassis_type": "23", "drm__card0-VGA__status": "connected"}, "server"),
        ({"dmi__id__chassis_type": "1"}, "server"),
        ({"dmi__id__chassis_type": "nonsense"}, ""),
        ({}, ""),
    ],
)
def test_machine_is_what_its_maker_says(files: dict[str, str], expected: str, tmp_path: Path) -> None:
    assert expected == guess(made(tmp_path, **files))


def test_a_wait_ends_soon_after_the_machine_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(wake, "NETWORK_SECONDS", 0.05)
    started, asleep = time.monotonic(), iter([0.0, 0.0, 0.0])

    assert wake.wait(threading.Event(), 30, lambda: next(asleep, 3600.0))
    assert time.monotonic() - started < 5


def test_a_wait_without_sleep_lasts_as_long_as_it_is_to() -> None:
    assert not wake.wait(threading.Event(), 0.2)
    stopping = threading.Event()
    stopping.set()
    started = time.monotonic()
    assert not wake.wait(stopping, 30)
    assert time.monotonic() - started < 5
