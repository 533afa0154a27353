"""A stamped executable carries what provisioning said, and nothing that only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.installers import stamp
from saveos.protocol import STAMP_MAGIC, Stamp

PAYLOAD = Stamp(
    addresses=("backup.example:8000", "[::1]:8000"),
    root_certificate="-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n",
    token="saveos_enrol_abc_secret",
    hostname="web-1",
)


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base"
    path.write_bytes(bytes(range(256)) * 4096)
    return path


def test_write_stamps_a_runnable_copy(base, tmp_path):
    output = tmp_path / "saveos-agent"

    stamp.write(base, PAYLOAD, output)

    assert stamp.read_back(output) == PAYLOAD
    assert output.stat().st_mode & 0o777 == 0o700
    assert output.read_bytes().startswith(base.read_bytes())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "saveos-agent"]


def test_write_over_an_older_file_replaces_it_whole(base, tmp_path):
    output = tmp_path / "saveos-agent"
    output.write_bytes(b"x" * 10_000_000)

    stamp.write(base, PAYLOAD, output)

    assert output.stat().st_size == base.stat().st_size + stamp.stamped_size(PAYLOAD)


def test_write_into_a_missing_folder_leaves_nothing(base, tmp_path):
    with pytest.raises(FileNotFoundError):
        stamp.write(base, PAYLOAD, tmp_path / "missing" / "saveos-agent")

    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_write_from_a_missing_base_keeps_the_older_file(tmp_path):
    output = tmp_path / "saveos-agent"
    output.write_bytes(b"old")

    with pytest.raises(FileNotFoundError):
        stamp.write(tmp_path / "missing", PAYLOAD, output)

    assert output.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["saveos-agent"]


def test_stream_gives_the_same_bytes_as_write(base, tmp_path):
    output = tmp_path / "saveos-agent"
    stamp.write(base, PAYLOAD, output)

    streamed = b"".join(stamp.stream(base, PAYLOAD))

    assert streamed == output.read_bytes()
    assert len(streamed) == base.stat().st_size + stamp.stamped_size(PAYLOAD)


def test_read_back_after_stamping_twice_gives_the_last(base, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    stamp.write(base, Stamp(addresses=("old:1",), root_certificate="", token="t"), first)

    stamp.write(first, PAYLOAD, second)

    assert stamp.read_back(second) == PAYLOAD


@given(content=st.binary(max_size=200), length=st.integers(min_value=0, max_value=2**64 - 1))
def test_read_back_of_a_damaged_trailer_gives_none(tmp_path_factory, content, length):
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content + length.to_bytes(8, "big") + STAMP_MAGIC)

    assert stamp.read_back(path) is None


@pytest.mark.parametrize("content", [b"", b"x", STAMP_MAGIC, b"\0" * 7 + STAMP_MAGIC, b"no stamp at all" * 100])
def test_read_back_without_a_stamp_gives_none(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)

    assert stamp.read_back(path) is None


@given(
    addresses=st.lists(st.text(max_size=255), max_size=5).map(tuple),
    token=st.text(max_size=255),
    hostname=st.text(max_size=255),
)
def test_trailer_of_any_payload_reads_back(tmp_path_factory, addresses, token, hostname):
    payload = Stamp(addresses=addresses, root_certificate="pem", token=token, hostname=hostname)
    path = tmp_path_factory.getbasetemp() / "any"

    path.write_bytes(b"base" + stamp.trailer(payload))

    assert stamp.read_back(path) == payload
