"""A copy in a process of its own, to be killed: `python -m tests.support.offsite_process FOLDER PART_BYTES`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from saveos.offsite import upload as offsite_upload
from tests.support.offsite import Copying

if TYPE_CHECKING:
    from tests.support.offsite import Hands


def main() -> int:
    """Copy, and say on each line how far it is."""
    offsite_upload.PART_BYTES = int(sys.argv[2])
    copying = Copying.opened(Path(sys.argv[1]))

    def hear(hands: Hands) -> None:
        phase, done = hands.steps[-1]
        os.write(1, f"{phase} {done}\n".encode())  # at once, whichever hand says it

    copying.copy(hear)
    return 0


if __name__ == "__main__":
    sys.exit(main())
