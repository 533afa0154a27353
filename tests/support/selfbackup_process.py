"""One step of an appliance's end in a process of its own, which dies at its Nth change of files.

`python -m tests.support.selfbackup_process make|recover FOLDER CODE-FILE N`; N 0: it does not die, and says how many
changes there were.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tests.support.offsite import Copying
from tests.support.selfbackup import Burning

CHANGES = frozenset({"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate", "os.chmod"})
WRITING = os.O_WRONLY | os.O_RDWR


class Fate:
    """Counts changes of files, and ends the process at one of them, before it is done."""

    def __init__(self, end: int) -> None:
        self._end, self.count = end, 0

    def hear(self, event: str, words: tuple[Any, ...]) -> None:
        is_opened = event == "open" and isinstance(words[2], int) and bool(words[2] & WRITING)
        if event in CHANGES or is_opened or event == "sqlite3.connect":
            self.count += 1
            if self.count == self._end:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Do it."""
    what, folder, code_file, end = sys.argv[1:]
    burning = Burning(Copying.opened(Path(folder)), Path(folder), Path(code_file).read_text())
    fate = Fate(int(end))
    sys.addaudithook(fate.hear)
    if what == "make":
        burning.back_up()
    else:
        burning.recover(repositories=Path(folder) / "data" / "repositories")
    os.write(1, str(fate.count).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
