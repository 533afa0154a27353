"""What the browser does with the recovery code (kit.js), run by node, is what the appliance understands."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from saveos.api.application import ASSETS
from saveos.repositories.keyholding import CODE_INFO, CODE_SUITE
from saveos.tenants import recovery

KIT = Path(ASSETS) / "kit.js"


def run(script: str, *given: Any) -> Any:
    """Run a script of an async function's body with `kit` and `given`; return what it returns."""
    node = shutil.which("node")
    assert node
    source = (
        f"const kit = await import('data:text/javascript;base64,{base64.b64encode(KIT.read_bytes()).decode()}');"
        f"const given = {json.dumps(given)};"
        f"const made = await (async () => {{ {script} }})();"
        "console.log(JSON.stringify(made ?? null));"
    )
    words = [node, "--no-warnings", "--input-type=module", "-e", source]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kit_of_the_browser_is_read_by_the_appliance() -> None:
    made = run("return await kit.makeKit();")

    private = recovery.private_key(made["code"])

    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    assert public == made["kit"]["recovery_public_key"]
    check = made["kit"]["check"]
    groups = made["code"].split("-")
    typed = "-".join(groups[number - 1] for number in check["groups"])
    proof = hashlib.pbkdf2_hmac("sha256", typed.encode(), base64.b64decode(check["salt"]), recovery.ROUNDS)
    assert check["proof_hash"] == base64.b64encode(hashlib.sha256(proof).digest()).decode()
    assert check["groups"] == sorted(set(check["groups"]))


def test_code_of_the_appliance_is_read_by_the_browser_however_it_is_typed() -> None:
    code, public_key = recovery.create()

    read, public = run(
        "const read = await kit.readCode(given[0]); return [read, await kit.publicKeyOf(read)];",
        f" {code.lower().replace('-', ' ')} ",
    )

    assert (code, base64.b64encode(public_key).decode()) == (read, public)


@pytest.mark.parametrize("typed", ["", "A", "A" * 56, "0" * 56, "é"])
def test_code_that_is_none_is_refused_by_the_browser(typed: str) -> None:
    script = "try { await kit.readCode(given[0]); } catch (error) { return error.message; }"

    assert run(script, typed) == "mistyped"


def test_text_sealed_by_the_browser_is_opened_by_the_keyholder() -> None:
    private = X25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    info = CODE_INFO.decode() + "unl_1"

    sealed = run("return await kit.seal(given[0], given[1], given[2]);", public, info, "a code")

    assert CODE_SUITE.decrypt(base64.b64decode(sealed), private, info.encode()) == b"a code"


def test_proof_of_the_browser_is_the_one_that_the_appliance_expects() -> None:
    code, _ = recovery.create()
    check = recovery.check_of(code)
    groups = code.split("-")

    proof = run(
        "return await kit.proofOf(given[0], given[1]);",
        [f" {groups[number - 1].lower()}" for number in check.groups],
        check.salt,
    )

    assert check.proof_hash == base64.b64encode(hashlib.sha256(base64.b64decode(proof)).digest()).decode()
