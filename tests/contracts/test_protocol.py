"""What agents in the field say, and what they understand: recorded messages of each protocol version.

A recording is never changed: agents that say just this are out there. What a newer agent says more is recorded beside
it, as another example of the message: `Message.json` or `Message.what_is_special.json`.
"""

from __future__ import annotations

import base64
import json
import struct
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import pytest

from saveos import protocol
from saveos.agent import client
from saveos.api.agents import OwnSnapshotList
from saveos.api.problems import Problem
from saveos.protocol import ESCROW_INFO, PROTOCOL_VERSION, Confidential, EscrowContents, EscrowRequest, Wire
from saveos.repositories import sealing
from saveos.tenants import recovery

RECORDED = Path(__file__).parents[1] / "fixtures" / "protocol"
RECORDINGS = sorted(RECORDED.glob("*/[A-Z]*.json"))
VERSIONS = sorted(RECORDED.iterdir())
# Answers that the appliance frames itself; the agent reads them with types of its own.
FRAMED: dict[str, tuple[type, type]] = {
    "OwnSnapshotList": (OwnSnapshotList, client._Snapshots),
    "Problem": (Problem, client._Problem),
}


def each(paths: list[Path]) -> pytest.MarkDecorator:
    """Run a test for each of these."""
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(RECORDED)))


def messages() -> dict[str, type[Wire]]:
    """Every message of today's protocol by name."""
    classes = [value for value in vars(protocol).values() if isinstance(value, type) and issubclass(value, Wire)]
    return {value.__name__: value for value in classes if value not in (Wire, Confidential)}


def name_of(path: Path) -> str:
    return path.name.split(".")[0]


def type_of(path: Path) -> Any:
    return FRAMED[name_of(path)][0] if name_of(path) in FRAMED else messages()[name_of(path)]


def as_known_then(recorded: Any, today: Any) -> Any:
    """Return today's JSON without the members that came later: a peer of that time ignores them."""
    if isinstance(recorded, dict) and isinstance(today, dict):
        return {name: as_known_then(recorded[name], value) for name, value in today.items() if name in recorded}
    if isinstance(recorded, list) and isinstance(today, list) and len(recorded) == len(today):
        return [as_known_then(*pair) for pair in zip(recorded, today, strict=True)]
    return today


def with_more(value: Any) -> Any:
    """Return JSON in which every object has a member that nobody knows yet."""
    if isinstance(value, dict):
        return {"from_a_newer_peer": {"any": [1, None]}} | {name: with_more(inner) for name, inner in value.items()}
    return [with_more(inner) for inner in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Return a constant of the protocol as the recording writes it."""
    if isinstance(value, type) and issubclass(value, Enum):
        return {member.name: member.value for member in value}
    if isinstance(value, bytes):
        return value.decode()
    return value.format if isinstance(value, struct.Struct) else value


@each(RECORDINGS)
def test_recorded_message_is_understood_and_said_again(path: Path) -> None:
    recorded = json.loads(path.read_bytes())

    today = json.loads(msgspec.json.encode(msgspec.json.decode(path.read_bytes(), type=type_of(path))))

    assert recorded == as_known_then(recorded, today)


@each([path for path in RECORDINGS if name_of(path) not in FRAMED])
def test_what_a_newer_peer_says_more_is_ignored(path: Path) -> None:
    newer = json.dumps(with_more(json.loads(path.read_bytes())))

    message = msgspec.json.decode(newer, type=type_of(path))

    assert msgspec.json.decode(path.read_bytes(), type=type_of(path)) == message


@each([path for path in RECORDINGS if name_of(path) in FRAMED])
def test_framed_answer_is_understood_by_the_agent(path: Path) -> None:
    recorded = json.loads(path.read_bytes())

    understood = msgspec.to_builtins(
        msgspec.json.decode(json.dumps(with_more(recorded)), type=FRAMED[name_of(path)][1])
    )

    read = {name: recorded[name] for name in understood}
    assert read == as_known_then(read, json.loads(msgspec.json.encode(understood)))


def test_messages_are_recorded_with_every_field() -> None:
    recorded: dict[str, set[str]] = {name: set() for name in messages()}
    for path in RECORDINGS:
        recorded.setdefault(name_of(path), set()).update(json.loads(path.read_bytes()))

    missing = {name: set(value.__struct_fields__) - recorded[name] for name, value in messages().items()}

    assert str(PROTOCOL_VERSION) in {folder.name for folder in VERSIONS}
    assert {} == {name: fields for name, fields in missing.items() if fields}


@each(VERSIONS)
def test_names_and_numbers_stay(path: Path) -> None:
    recorded = json.loads((path / "constants.json").read_bytes())

    today = {name: plain(getattr(protocol, name)) for name in recorded}

    assert recorded == as_known_then(recorded, today)


@each(VERSIONS)
def test_sealed_key_is_opened_with_the_recovery_code(path: Path) -> None:
    escrow = msgspec.json.decode((path / "EscrowRequest.json").read_bytes(), type=EscrowRequest)
    expected = msgspec.json.decode((path / "EscrowContents.json").read_bytes(), type=EscrowContents)
    private_key = recovery.private_key((path / "recovery_code.txt").read_text())

    opened = sealing.SUITE.decrypt(
        base64.b64decode(escrow.sealed), private_key, ESCROW_INFO + expected.agent_id.encode()
    )

    assert expected == msgspec.json.decode(opened, type=EscrowContents)
