"""The processes that tests start are those of an appliance: nothing that only tests need is in them."""

from __future__ import annotations

import subprocess
import sys


def test_borg_finds_no_pytest_to_import() -> None:
    said = "import sys, borg.archiver; print([name for name in sys.modules if name.startswith('_pytest')])"

    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()
