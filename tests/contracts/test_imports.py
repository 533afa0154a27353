"""Every room of the house stands in the import contracts: one that is new is forgotten in neither."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = {"agent", "protocol", "protocol_listing"}  # what the agent may know


def test_agent_is_forbidden_every_room_but_the_protocol() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {contract["name"]: contract for contract in project["tool"]["importlinter"]["contracts"]}
    named = contracts["the agent is light"]["forbidden_modules"]
    modules = {path.stem for path in (ROOT / "saveos").glob("*.py") if not path.stem.startswith("__")}
    packages = {path.parent.name for path in (ROOT / "saveos").glob("*/__init__.py")}

    forbidden = {name.removeprefix("saveos.") for name in named if name.startswith("saveos.")}

    assert (modules | packages) - SHARED == forbidden
