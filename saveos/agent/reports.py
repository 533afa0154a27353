"""Reports of ended jobs: sent at once, or kept on disk and sent again until the appliance has taken them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.client import Client
from saveos.agent.failures import Failure, Refused
from saveos.agent.settings import write_private
from saveos.protocol import JobReport

if TYPE_CHECKING:
    from saveos.agent.settings import Config, Home

FINAL = frozenset({400, 404, 409})  # saying it again would change nothing


def send_or_keep(home: Home, config: Config, job_id: str, report: JobReport) -> bool:
    """Write the report down, then send it; return whether it arrived."""
    path = home.reports / f"{job_id}.json"
    write_private(path, msgspec.json.encode(report))
    return send_kept(home, config) and not path.exists()


def send_kept(home: Home, config: Config) -> bool:
    """Send every report that waits; return False when the appliance cannot be reached."""
    waiting = sorted(home.reports.glob("job_*.json"))
    if not waiting:
        return True
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        for path in waiting:
            try:
                client.report(path.stem, msgspec.json.decode(path.read_bytes(), type=JobReport))
            except Refused as refusal:
                if refusal.status not in FINAL:
                    return False
            except Failure:
                return False
            except msgspec.MsgspecError:
                pass  # half a file of a former version: the job's lease has ended it long ago
            path.unlink(missing_ok=True)
    return True
