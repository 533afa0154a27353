"""The upkeep process is ended when somebody wants that, though it says nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from saveos.repositories import maintenance


def test_silent_process_is_killed_once_it_is_cancelled() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        is_cancelled = threading.Event()
        watch = threading.Thread(target=maintenance._kill_when, args=(process, is_cancelled))
        watch.start()
        time.sleep(0.2)
        assert process.poll() is None

        is_cancelled.set()

        assert process.wait(timeout=10) < 0
        watch.join(timeout=5)
        assert not watch.is_alive()
