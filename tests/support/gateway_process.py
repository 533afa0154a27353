"""A gateway in a process of its own, so that a test can kill it: `python -m tests.support.gateway_process FOLDER`."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from tests.support.tunnels import Gateway

if __name__ == "__main__":
    with Gateway(Path(sys.argv[1])) as gateway:
        host = gateway.host
        print(json.dumps({"address": gateway.address, "thumbprint": host.thumbprint}), flush=True)  # noqa: T201
        threading.Event().wait()
