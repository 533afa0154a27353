"""What opens a host's backups is in no process's memory but the keyholder's, and in no file at all."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from saveos.repositories.keyholding import CODE_SUITE
from saveos.tenants import recovery
from tests.support.agent import RealAgent, back_up_only
from tests.support.appliance import Appliance, wait_until
from tests.support.memory import secrets_in_folder, secrets_in_process
from tests.support.processes import alive, children, descendants

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"what only the recovery code brings back\n" * 50_000


class Told:
    """The process with the registry."""

    def __init__(self, agent: RealAgent) -> None:
        words = [sys.executable, "-m", "tests.support.unlock_process", str(agent.appliance.data)]
        self.process = subprocess.Popen(
            [*words, agent.repository.parent.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.offer = self.hear()

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, **order: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.hear()


@contextmanager
def told(agent: RealAgent) -> Iterator[Told]:
    made = Told(agent)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "tree").mkdir()
    (folder / "tree" / "letter").write_bytes(CONTENT)
    with Appliance.started(folder / "appliance") as appliance:
        appliance.set_up()
        back_up_only(appliance, folder / "tree")
        agent = RealAgent.enrolled(appliance, folder / "host")
        agent.start_daemon()
        assert agent.first_backup()["state"] == "done"
        agent.stop()
        appliance.stop()
        appliance.start()  # at set-up by a program, unlike by a browser, the appliance makes the code itself
        yield agent


def secrets_of(agent: RealAgent) -> dict[str, bytes]:
    """What opens the backups, in every shape that it may have. The exported key alone opens nothing."""
    from borg.crypto.key import KeyfileKeyBase, Passphrase
    from borg.helpers import msgpack

    code = agent.appliance.recovery_code
    passphrase = (agent.folder / "agent" / "passphrase").read_text().strip()
    exported = agent.stock_borg("key", "export", "::", "-").stdout.partition("\n")[2]
    opened = KeyfileKeyBase.decrypt_key_file(None, base64.b64decode(exported), Passphrase(passphrase))
    return {
        "code": code.encode(),
        "code without dashes": code.replace("-", "").encode(),
        "code, a part": code[8:31].encode(),
        "recovery key": recovery.private_key(code).private_bytes_raw(),
        "passphrase": passphrase.encode(),
        "passphrase, bytes": bytes.fromhex(passphrase),
        "encryption key": msgpack.unpackb(opened)[b"enc_key"],
    }


def seal(offer: dict[str, str], code: str) -> str:
    public = X25519PublicKey.from_public_bytes(base64.b64decode(offer["public_key"]))
    return base64.b64encode(CODE_SUITE.encrypt(code.encode(), public, offer["info"].encode())).decode()


def test_unlocked_keys_are_in_the_keyholder_alone_and_gone_when_it_ends(protected: RealAgent) -> None:
    secrets = secrets_of(protected)
    archive = protected.appliance.snapshots(protected.id)[-1]["archive"]
    with told(protected) as main:
        (keyholder,) = children(main.process.pid, "saveos.repositories.keyholder")
        sealed = seal(main.offer, protected.appliance.recovery_code)
        assert main.ask(sealed_code=sealed) == {"opened": True}
        read = main.ask(agent_id=protected.id, words=["borg", "extract", "--stdout", f"::{archive}"])
        assert (0, hashlib.sha256(CONTENT).hexdigest()) == (read["code"], read["sha256"])

        # The search finds what is there: else it would find nothing below either.
        assert "passphrase" in secrets_in_process(keyholder, secrets)
        assert set() == secrets_in_process(main.process.pid, secrets)
        assert set() == secrets_in_folder(protected.appliance.data, secrets)

        main.ask(lock=True)
        wait_until(lambda: not alive(keyholder), 5, "the keyholder to end")
        assert set() == secrets_in_process(main.process.pid, secrets)
    assert set() == secrets_in_folder(protected.appliance.data.parent, secrets)


def test_appliance_that_unlocks_never_has_the_code(protected: RealAgent) -> None:
    appliance, secrets = protected.appliance, secrets_of(protected)
    assert appliance.process is not None
    offer = appliance.call("POST", "/api/v1/keys/unlocks").expect(201)
    path = f"/api/v1/keys/unlocks/{offer['unlock_id']}"
    opened = appliance.call("POST", f"{path}/open", {"sealed_code": seal(offer, appliance.recovery_code)}).expect(200)
    assert [protected.id] == opened["agent_ids"]
    (keyholder,) = children(appliance.process.pid, "saveos.repositories.keyholder")
    others = {appliance.process.pid, *descendants(appliance.process.pid)} - {keyholder}

    assert "passphrase" in secrets_in_process(keyholder, secrets)
    assert set() == set().union(*(secrets_in_process(pid, secrets) for pid in others))

    appliance.call("DELETE", path).expect(204)
    wait_until(lambda: not alive(keyholder), 5, "the keyholder to end")
    assert [] == appliance.call("GET", "/api/v1/keys/unlocks").expect(200)["items"]
    pids = {appliance.process.pid, *descendants(appliance.process.pid)}
    assert set() == set().union(*(secrets_in_process(pid, secrets) for pid in pids))
    assert set() == secrets_in_folder(appliance.data, secrets)


@pytest.mark.parametrize("page", ["recovery.md", "recovery.fr.md"])
def test_recipe_without_saveos_opens_the_key(protected: RealAgent, tmp_path: Path, page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    recipe, _of_self_backups = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "open_key.py").write_text(recipe)
    words = [sys.executable, str(tmp_path / "open_key.py"), str(protected.appliance.data), protected.hostname]

    done = subprocess.run(
        words, input=protected.appliance.recovery_code, capture_output=True, text=True, timeout=60, check=True
    )

    folder, passphrase, key_export = done.stdout.split("\n", 2)
    assert str(protected.repository) == folder.split()[1]
    assert (protected.folder / "agent" / "passphrase").read_text().strip() == passphrase.split()[1]
    assert key_export.startswith("BORG_KEY")
