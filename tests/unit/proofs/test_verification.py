"""A report is genuine to the last byte, or refused; and each drill in it is its host's own."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from saveos.certificates import authority as authorities
from saveos.certificates.issuance import sign_report
from saveos.proofs import report, verification
from saveos.proofs.report import Asked
from saveos.proofs.report_model import Report, SignedReport
from saveos.proofs.verification import Level
from saveos.protocol import DrillMismatch, TenantId
from tests.support.catalogues import World
from tests.support.proofs import HASH, Signer
from tests.unit.proofs.test_drills import end, know, nonce_of, ordered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.certificates.authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authorities.open_authority(tmp_path_factory.mktemp("ca") / "authority")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> World:
    """One host proved a restore, one drill found a file that differs, whose name would break out, one had nothing."""
    world = World.made(tmp_path_factory.mktemp("world") / "data")
    for name in ("atelier", "bureau", "cave"):
        host = Signer.of(authority, world.add_host(name), name)
        know(world, host)
        world.add_snapshot(host.agent_id)
        job = ordered(world, host)
        bad = (
            (DrillMismatch(path="srv/</script><b>\u202e", archive="archive", what="content"),)
            if name == "bureau"
            else ()
        )
        told = {"mismatches": bad, "mismatches_count": len(bad)} if name != "cave" else {"files_count": 0}
        end(world, authority, job, host.sign(job.id, nonce_of(job), **told))
    job = ordered(world, host, 4)
    end(world, authority, job, host.sign(job.id, nonce_of(job), copy_generation=4))
    return world


def asked() -> Asked:
    now = datetime.now(UTC)
    return Asked(since=now - timedelta(days=365), until=now + timedelta(minutes=1))


@pytest.fixture(scope="module")
def json_report(world: World, authority: Authority) -> bytes:
    return report.make_json(world.database, authority, world.principal, asked())


@pytest.fixture(scope="module")
def html_report(world: World, authority: Authority) -> bytes:
    return report.make_html(world.database, authority, world.principal, asked(), "fr")


def levels(data: bytes, root_pem: str) -> set[Level]:
    return {finding.level for finding in verification.verify(data, root_pem)}


def lines(data: bytes, root_pem: str, level: Level) -> list[str]:
    return [finding.line for finding in verification.verify(data, root_pem) if finding.level is level]


@pytest.mark.parametrize("form", ["json_report", "html_report"])
def test_report_is_genuine_and_tells_of_each_drill(
    form: str, authority: Authority, request: pytest.FixtureRequest
) -> None:
    data = request.getfixturevalue(form)

    assert lines(data, authority.root_pem, Level.BAD) == []
    told = lines(data, authority.root_pem, Level.TOLD)
    assert any("bureau" in line and "1 of 12 files differ" in line for line in told)
    good = lines(data, authority.root_pem, Level.GOOD)
    assert any("atelier" in line and "12 files came back" in line for line in good)
    assert any("cave" in line and "nothing could be compared" in line for line in good)
    assert any("cave" in line and "generation 4 of its offsite copy: 12 files came back" in line for line in good)


@pytest.mark.parametrize("form", ["json_report", "html_report"])
def test_one_flipped_bit_anywhere_is_refused(form: str, authority: Authority, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(form)
    rng = random.Random(3)  # noqa: S311 - the same bytes each time
    ends = [*range(40), *range(len(data) - 160, len(data))]
    offsets = {*ends, *(rng.randrange(len(data)) for _ in range(400))}
    for offset in sorted(offsets):
        spoilt = bytearray(data)
        spoilt[offset] ^= 1 << rng.randrange(8)

        assert Level.BAD in levels(bytes(spoilt), authority.root_pem), (offset, data[offset : offset + 20])


@pytest.mark.parametrize("form", ["json_report", "html_report"])
def test_what_is_added_or_cut_is_refused(form: str, authority: Authority, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(form)

    for spoilt in (b"", data[:-1], data + b"\n", data + b" ", b" " + data, data + data, data[: len(data) // 2]):
        assert Level.BAD in levels(spoilt, authority.root_pem)


def test_another_root_is_refused(json_report: bytes, tmp_path: Path) -> None:
    other = authorities.open_authority(tmp_path / "other")

    assert Level.BAD in levels(json_report, other.root_pem)


def test_page_tells_which_drill_was_out_of_the_copy(html_report: bytes) -> None:
    page = html_report.decode()

    assert 1 == page.count("(offsite copy, generation 4)")
    assert 1 == page.count("hors site, génération 4)")


def test_page_escapes_what_hosts_say_and_holds_both_languages(html_report: bytes) -> None:
    page = html_report.decode()

    assert page.count("</script>") == 1
    assert "<b>" not in page
    assert "\u202e" not in page[: page.index("<script")]
    assert "Restore drill failed" in page or "A restore drill failed" in page
    assert "restore-failed" not in page[: page.index("<script")]
    assert 'lang="en">Last proven restore<' in page
    assert "Instantanés intacts" in page
    assert 'id="in-fr" checked' in page


def forged(authority: Authority, data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return the report with something else in it, signed as the appliance would: its authority is in other hands."""
    told = msgspec.json.decode(msgspec.json.decode(data, type=SignedReport).report)
    change(told)
    key = ec.generate_private_key(ec.SECP256R1())
    chain = sign_report(authority, key.public_key(), TenantId(told["tenant_id"]), timedelta(days=1))
    unsigned = SignedReport(report=msgspec.json.encode(told).decode(), signature="", chain=chain)
    signature = base64.b64encode(key.sign(unsigned.signed_bytes(), HASH)).decode()
    return msgspec.json.encode(msgspec.structs.replace(unsigned, signature=signature))


def swap_drills(told: dict[str, Any]) -> None:
    one, other, *_more = told["drills"]
    one["agent_id"], other["agent_id"] = other["agent_id"], one["agent_id"]


def rename_host(told: dict[str, Any]) -> None:
    told["hosts"][0]["hostname"] = "renamed"


def better_statement(told: dict[str, Any]) -> None:
    for drill in told["drills"]:
        drill["statement"] = drill["statement"].replace('"mismatches_count":1', '"mismatches_count":0')


def other_nonce(told: dict[str, Any]) -> None:
    told["drills"][0]["nonce"] = "00" * 32


def later(told: dict[str, Any]) -> None:
    told["drills"][0]["received_at"] = "2040-01-01T00:00:00Z"


def no_certificate(told: dict[str, Any]) -> None:
    told["certificates"] = {}


def without_its_drill(told: dict[str, Any]) -> None:
    told["drills"] = [drill for drill in told["drills"] if drill["agent_id"] != told["hosts"][0]["agent_id"]]


def proven_by_a_drill_that_failed(told: dict[str, Any]) -> None:
    (drill,) = (drill for drill in told["drills"] if drill["agent_id"] == "agt_bureau")
    (host,) = (host for host in told["hosts"] if host["agent_id"] == "agt_bureau")
    host["proven_at"] = drill["received_at"]


def unknown_host(told: dict[str, Any]) -> None:
    told["hosts"] = told["hosts"][:1]


@pytest.mark.parametrize(
    "change",
    [
        swap_drills, rename_host, better_statement, other_nonce, later, no_certificate, without_its_drill, unknown_host,
        proven_by_a_drill_that_failed,
    ],
    ids=lambda each: each.__name__,
)  # fmt: skip
def test_drill_that_its_host_did_not_sign_like_that_is_refused(
    change: Callable[[dict[str, Any]], None], authority: Authority, json_report: bytes
) -> None:
    assert Level.BAD in levels(forged(authority, json_report, change), authority.root_pem)


def test_report_that_is_signed_anew_without_a_change_is_genuine(authority: Authority, json_report: bytes) -> None:
    assert Level.BAD not in levels(forged(authority, json_report, lambda _told: None), authority.root_pem)


def test_certificate_of_a_host_does_not_sign_reports(authority: Authority, json_report: bytes) -> None:
    signed = msgspec.json.decode(json_report, type=SignedReport)
    told = msgspec.json.decode(signed.report, type=Report)
    host = Signer.of(authority, "agt_1", "host")
    unsigned = SignedReport(report=signed.report, signature="", chain=host.issued.chain_pem)
    signature = base64.b64encode(host.key.sign(unsigned.signed_bytes(), HASH)).decode()

    data = msgspec.json.encode(msgspec.structs.replace(unsigned, signature=signature))

    assert told.hosts
    assert Level.BAD in levels(data, authority.root_pem)


def test_report_of_one_host_tells_of_no_other(world: World, authority: Authority) -> None:
    data = report.make_json(
        world.database, authority, world.principal, msgspec.structs.replace(asked(), agent_id="agt_bureau")
    )

    told = msgspec.json.decode(msgspec.json.decode(data, type=SignedReport).report, type=Report)

    assert {host.agent_id for host in told.hosts} == {drill.agent_id for drill in told.drills} == {"agt_bureau"}
    assert b"atelier" not in data
    assert Level.BAD not in levels(data, authority.root_pem)
