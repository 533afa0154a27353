"""Generated requests over the whole OpenAPI: no 5xx, no undocumented status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.host import WireHost
from tests.support.wire import Wire

if TYPE_CHECKING:
    from tests.support.appliance import Appliance

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 15
LEFT_OUT = ("/api/v1/session", "/api/v1/tokens/{token_id}", "/api/v1/agents/protect-appliance")


def run(appliance: Appliance, url: str, schema: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("schemathesis")
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it needs pytest
    return subprocess.run(
        [
            str(command), "run", str(schema), "--url", url,
            "--checks", CHECKS, "--max-examples", str(EXAMPLES), "--phases", "examples,coverage,fuzzing",
            "--generation-deterministic", "--no-color", *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**usual, "REQUESTS_CA_BUNDLE": str(appliance.data / "authority" / "root.pem")},
        cwd=schema.parent,
    )  # fmt: skip


def test_openapi_of_people_holds(shared_appliance: Appliance, tmp_path: Path) -> None:
    schema = shared_appliance.call("GET", "/docs/openapi.json").expect(200)
    # signing out or revoking the token in use would only turn the rest into 401; no test may enrol its own machine
    schema["paths"] = {
        path: operations
        for path, operations in schema["paths"].items()
        if path not in LEFT_OUT and not path.startswith("/download")
    }
    (tmp_path / "openapi.json").write_text(json.dumps(schema))

    url = f"https://localhost:{shared_appliance.port}"
    bearer = f"Authorization: Bearer {shared_appliance.token}"
    done = run(shared_appliance, url, tmp_path / "openapi.json", "-H", bearer)

    shared_appliance.call("PUT", "/api/v1/settings", {"names": [], "language": "en"}).expect(200)
    assert 0 == done.returncode, done.stdout[:9000] + done.stdout[-3000:] + done.stderr[-2000:]


def test_openapi_of_agents_holds(shared_appliance: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(shared_appliance, tmp_path / "host")
    host.make_ready()
    schema = shared_appliance.call("GET", "/docs/openapi.json").expect(200)
    schema["paths"] = {
        path: operations
        for path, operations in schema["paths"].items()
        if any("agent protocol" in operation.get("tags", []) for operation in operations.values())
    }
    # A heartbeat that waits for work would wait in each example.
    schema["components"]["schemas"]["Heartbeat"]["properties"]["wait_seconds"]["maximum"] = 0.01
    (tmp_path / "openapi.json").write_text(json.dumps(schema))
    with Wire.laid(host) as wire:
        bearer = f"Authorization: Bearer {host.token}"
        done = run(shared_appliance, f"http://127.0.0.1:{wire.port}", tmp_path / "openapi.json", "-H", bearer)

    assert 0 == done.returncode, done.stdout[:9000] + done.stdout[-3000:] + done.stderr[-2000:]
    assert wire.statuses.get(200, 0) > EXAMPLES, wire.statuses  # it was heard as the agent that it is
