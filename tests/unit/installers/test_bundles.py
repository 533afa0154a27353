"""Many stamped executables in one ZIP."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from saveos.installers import bundles, stamp
from saveos.protocol import Platform, Stamp

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("platform", "name"), [(Platform.LINUX, "saveos-agent"), (Platform.WINDOWS, "saveos-agent.exe")]
)
def test_stream_holds_each_hosts_own_executable_stored_and_runnable(
    platform: Platform, name: str, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    base.write_bytes(bytes(700_000))
    payloads = [Stamp(addresses=("a:1",), root_certificate="pem", token=f"t-{host}", hostname=host) for host in "abc"]

    content = b"".join(bundles.stream(base, payloads, platform))

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        entries = archive.infolist()
        archive.extractall(tmp_path / "out")
    assert [f"{host}/{name}" for host in "abc"] == [entry.filename for entry in entries]
    assert {zipfile.ZIP_STORED} == {entry.compress_type for entry in entries}
    assert {0o100700} == {entry.external_attr >> 16 for entry in entries}
    assert payloads == [stamp.read_back(tmp_path / "out" / entry.filename) for entry in entries]
