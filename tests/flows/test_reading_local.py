"""The program that reads, on a repository in a folder: how the appliance starts it for a host whose key is open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_program_reads_an_order_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"hello")
    environment = os.environ | {
        "BORG_REPO": str(tmp_path / "r"), "BORG_PASSPHRASE": "secret", "BORG_BASE_DIR": str(tmp_path / "b"),
    }  # fmt: skip
    borg = str(Path(sys.executable).with_name("borg"))
    for words in (["init", "-e", "repokey-blake2"], ["create", "::a", "tree"]):
        subprocess.run([borg, *words], env=environment, cwd=tmp_path, check=True, capture_output=True)
    order = b'{"archive": "a", "chosen": [{"path": "tree/file", "place": 99}], "first_byte": 1, "last_byte": 3}'
    words = [sys.executable, "-m", "saveos.agent", "read"]

    right = subprocess.run(words, input=order, env=environment, capture_output=True, check=False)
    wrong = subprocess.run(
        words, input=order, env=environment | {"BORG_PASSPHRASE": "no"}, capture_output=True, check=False
    )

    assert (0, b"ell") == (right.returncode, right.stdout.partition(b"\n")[2])
    assert 1 == wrong.returncode
    assert b'"passphrase-wrong"' in wrong.stdout
