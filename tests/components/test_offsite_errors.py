"""What stores answer when something is wrong, as a person is told it; and patience, where a store asks for that."""

from __future__ import annotations

import http.server
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from saveos.database.secrets import Secret
from saveos.errors import (
    BucketMissing,
    ClockSkewed,
    KeyRefused,
    ObjectExists,
    ObjectMissing,
    StorageBusy,
    StorageDenied,
    StorageError,
    StorageUnreachable,
    StorageUnsupported,
)
from saveos.offsite import bucket as offsite_store
from saveos.offsite.bucket import Bucket
from saveos.offsite.hands import Stopped
from saveos.offsite.model import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = Secret("of a test, never to be seen")
HASH = "00" * 32


class Answers(http.server.BaseHTTPRequestHandler):
    """Gives the answers of its server's list, the last one again and again."""

    protocol_version = "HTTP/1.1"
    server: Any

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(time.monotonic())
        answers = self.server.answers
        status, code, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        text = f"<Error><Code>{code}</Code><Message>You sent {SECRET.value}</Message></Error>" if code else ""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    do_PUT = do_GET = do_HEAD = _answer  # noqa: N815 - as http.server names them

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Any]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def bucket(server: Any, **more: Any) -> Bucket:
    place = Place(endpoint=f"http://127.0.0.1:{server.server_port}", bucket="bucket", access_key_id="KEY")
    return Bucket(place, SECRET, **more)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "RequestTimeTooSkewed", ClockSkewed),
        (403, "SignatureDoesNotMatch", KeyRefused),
        (403, "InvalidAccessKeyId", KeyRefused),
        (403, "AccessDenied", StorageDenied),
        (403, "SomethingNew", StorageDenied),
        (404, "NoSuchBucket", BucketMissing),
        (404, "NoSuchKey", ObjectMissing),
        (412, "PreconditionFailed", ObjectExists),
        (501, "NotImplemented", StorageUnsupported),
        (400, "InvalidRequest", StorageError),
    ],
)
def test_answer_has_a_class_of_ours_and_no_secret(server: Any, status: int, code: str, expected: type) -> None:
    server.answers = [(status, code, {})]

    with pytest.raises(StorageError) as raised:
        bucket(server).put("key", b"content", sha256=HASH)

    assert expected is type(raised.value)
    assert SECRET.value not in f"{raised.value.message} {raised.value.context}"
    assert len(server.asked) == 1


def test_store_that_is_busy_is_asked_again_when_it_says(server: Any) -> None:
    server.answers = [(503, "SlowDown", {"Retry-After": "2"}), (200, "", {"x-amz-version-id": "one"})]

    version = bucket(server).put("key", b"content", sha256=HASH)

    assert version == "one"
    assert 2 <= server.asked[1] - server.asked[0] < 4


def test_store_that_stays_busy_is_given_up(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsite_store, "LONGEST_WAIT", 0.01)
    server.answers = [(503, "SlowDown", {"Retry-After": "3600"})]

    with pytest.raises(StorageBusy):
        bucket(server).put("key", b"content", sha256=HASH)

    assert len(server.asked) == offsite_store.ATTEMPTS


def test_waiting_for_a_store_ends_when_it_is_cancelled(server: Any) -> None:
    server.answers = [(503, "SlowDown", {"Retry-After": "3600"})]
    is_cancelled = threading.Event()
    threading.Timer(0.5, is_cancelled.set).start()
    begun = time.monotonic()

    with pytest.raises(Stopped):
        bucket(server, is_cancelled=is_cancelled).put("key", b"content", sha256=HASH)

    assert time.monotonic() - begun < 3


def test_line_that_breaks_in_the_middle_is_unreachable(server: Any) -> None:
    server.answers = [(200, "", {"Content-Length": "100", "Connection": "close"})]

    with pytest.raises(StorageUnreachable):
        list(bucket(server).read("key"))
