"""What a probe finds out about a real store, and what it leaves there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos.database.secrets import Secret
from saveos.offsite.model import ProbeReport, Protection, StepName, StepState
from saveos.offsite.probe import probe
from tests.support.s3 import SECRET

if TYPE_CHECKING:
    from saveos.offsite.model import Place
    from tests.support.s3 import Weed


def states(report: ProbeReport) -> dict[str, str]:
    return {step.name.value: step.state.value for step in report.steps}


def left(s3: Weed, place: Place) -> list[Any]:
    found = s3.client().list_object_versions(Bucket=place.bucket, Prefix=place.prefix)
    return [*found.get("Versions", []), *found.get("DeleteMarkers", [])]


def test_probe_of_a_plain_bucket_works_and_leaves_nothing(s3: Weed) -> None:
    place = s3.place(s3.bucket())

    report = probe(place, SECRET)

    assert report.is_usable
    assert report.protection is not Protection.LOCK
    assert report.is_ok(StepName.CONDITION)
    assert (StepState.UNSUPPORTED, StepState.UNSUPPORTED, StepState.SKIPPED) == tuple(
        step.state for step in report.steps if step.name in (StepName.VERSIONS, StepName.LOCK, StepName.LOCKED_DELETE)
    )
    assert [] == left(s3, place)


def test_probe_of_a_bucket_with_versions_leaves_none(s3: Weed) -> None:
    place = s3.place(s3.bucket(has_versions=True))

    report = probe(place, SECRET)

    assert report.is_usable
    assert report.is_ok(StepName.VERSIONS)
    assert [] == left(s3, place)


def test_probe_of_a_bucket_with_lock_sees_that_it_holds(s3: Weed) -> None:
    place = s3.place(s3.bucket(is_locked=True))

    report = probe(place, SECRET)

    assert report.is_usable, states(report)
    assert report.protection is Protection.LOCK, states(report)
    assert len(report.left) == len(left(s3, place)) <= 1
    assert report.is_ok(StepName.BYPASS) == bool(report.left)


@pytest.mark.parametrize(
    ("change", "secret", "code"),
    [
        ({}, Secret("another one"), "storage-key-refused"),
        ({"access_key_id": "NOBODY"}, SECRET, "storage-key-refused"),
        ({"access_key_id": "READER"}, SECRET, "storage-denied"),
        ({"bucket": "no-such-bucket"}, SECRET, "storage-bucket-missing"),
        ({"endpoint": "http://127.0.0.1:9"}, SECRET, "storage-unreachable"),
        ({"endpoint": "https://127.0.0.1:{secure_port}"}, SECRET, "storage-untrusted"),
    ],
)
def test_probe_that_cannot_write_says_why(s3: Weed, change: dict[str, str], secret: Secret, code: str) -> None:
    changed = {name: text.format(secure_port=s3.secure_port) for name, text in change.items()}
    place = msgspec.structs.replace(s3.place(s3.bucket()), **changed)

    report = probe(place, secret)

    assert (StepState.REFUSED, code) == (report.steps[0].state, report.steps[0].code), report.steps[0]
    assert {StepState.SKIPPED} == {step.state for step in report.steps[1:]}
    assert not any(secret.value in step.message for step in report.steps)


def test_probe_trusts_the_certificates_that_it_is_given(s3: Weed) -> None:
    place = s3.place(s3.bucket(), endpoint=f"https://127.0.0.1:{s3.secure_port}", ca_pem=s3.ca_pem)

    assert probe(place, SECRET).is_usable


def test_store_heeds_nothing_of_the_surroundings(s3: Weed, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(
        "[default]\nendpoint_url = http://127.0.0.1:9\ns3 =\n  addressing_style = virtual\n"
    )
    surroundings = {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PROFILE": "nobody",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "NOBODY",
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "AWS_SESSION_TOKEN": "wrong",
        "AWS_CA_BUNDLE": str(tmp_path / "config"),
        "REQUESTS_CA_BUNDLE": str(tmp_path / "config"),
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    place = s3.place(s3.bucket(), endpoint=f"https://127.0.0.1:{s3.secure_port}", ca_pem=s3.ca_pem)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    assert "AWS_PROFILE" in os.environ

    assert probe(place, SECRET).is_usable
