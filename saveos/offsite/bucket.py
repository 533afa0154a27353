"""The one place that speaks S3: a bucket of a store. Answers and errors leave it as ours."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING, Any

from saveos.errors import ObjectAltered, ObjectLocked, StorageBusy, StorageDenied, StorageError, StorageUnreachable
from saveos.offsite.hands import Pace, PacedBody, Stopped
from saveos.offsite.objects import Held, Listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from saveos.database.secrets import Secret
    from saveos.offsite.model import Place
    from saveos.offsite.objects import Lock

ATTEMPTS = 5
LONGEST_WAIT = 60.0
CHUNK = 1 << 20
SHA256 = "saveos-sha256"  # of the whole object, hex, as metadata: of parts, stores tell only a sum of sums


class Bucket:
    """A bucket, as far as we use one; keys are whole. Every call raises StorageError; by any thread."""

    def __init__(
        self,
        place: Place,
        secret: Secret,
        *,
        is_cancelled: threading.Event | None = None,
        pace: Pace | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        """Nothing is asked yet. `attempts`: how often, where asking again may help."""
        self._attempts = attempts
        self.place = place
        self._is_cancelled = is_cancelled or threading.Event()
        self._pace = pace or Pace(lambda: 0, self._is_cancelled)
        from saveos.offsite import client  # noqa: PLC0415 - a quarter of a second of imports

        self._trust = client.trust_file(place.ca_pem)  # there as long as the bucket is in use
        self._client = client.of(place, secret, self._trust.name if self._trust else "")

    def put(self, key: str, content: bytes, *, lock: Lock | None = None, sha256: str, is_new: bool = False) -> str:
        """Write an object in one piece; return its version. Raises ObjectExists with `is_new`."""
        words = {"ChecksumSHA256": _as_base64(sha256), "Metadata": {SHA256: sha256}, **self._kept_as(lock)}
        if is_new:
            words["IfNoneMatch"] = "*"
        return str(self._send("put_object", content, Key=key, **words).get("VersionId", ""))

    def head(self, key: str, version_id: str = "") -> Held:
        """Return what the store says of an object. Raises ObjectMissing."""
        said = self._call("head_object", Key=key, ChecksumMode="ENABLED", **_version(version_id))
        checksum = str(said.get("ChecksumSHA256", ""))
        return Held(
            bytes=int(said["ContentLength"]),
            version_id=str(said.get("VersionId", "")),
            sha256=str(said.get("Metadata", {}).get(SHA256, "")),
            checksum="" if "-" in checksum else base64.b64decode(checksum).hex(),
            locked_until=said.get("ObjectLockRetainUntilDate"),
        )

    def read_whole(self, key: str, version_id: str = "", *, limit_bytes: int) -> bytes:
        """Return what an object holds. Raises ObjectMissing, ObjectAltered (we never wrote so much), Stopped."""
        found = bytearray()
        for piece in self.read(key, version_id):
            found += piece
            if len(found) > limit_bytes:
                raise ObjectAltered("An object in the store is larger than any that was written.", key=key)
        return bytes(found)

    def read(self, key: str, version_id: str = "", *, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """Give an object's bytes, `first` to `last`, in pieces; goes on where the line breaks. Raises StorageError."""
        at, failures, end = first, 0, "" if last is None else str(last)
        same: dict[str, Any] = {}
        while True:
            words = {**same, "Range": f"bytes={at}-{end}"} if at or end else {}
            answer = self._call("get_object", Key=key, **_version(version_id), **words)
            body, same = answer["Body"], {"IfMatch": answer["ETag"]} if answer.get("ETag") else {}
            try:
                while piece := self._guarded(lambda: body.read(CHUNK)):  # noqa: B023 - called at once
                    at, failures = at + len(piece), 0
                    self._pace.take(len(piece))
                    yield piece
            except StorageUnreachable:
                failures += 1
                if failures >= self._attempts:
                    raise
                self._is_cancelled.wait(0.5 * failures)
            else:
                return
            finally:
                body.close()

    def listing(self, prefix: str, *, with_versions: bool = False) -> Iterator[Listed]:
        """Give all objects whose keys begin so; with their versions and marks where the bucket keeps such."""
        if with_versions:
            yield from self._versions(prefix)
            return
        more: dict[str, Any] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=prefix, **more)
            for entry in page.get("Contents", []):
                yield Listed(key=entry["Key"], bytes=entry["Size"], modified_at=entry["LastModified"])
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _versions(self, prefix: str) -> Iterator[Listed]:
        more: dict[str, Any] = {}
        while True:
            page = self._call("list_object_versions", Prefix=prefix, **more)
            for kind in ("Versions", "DeleteMarkers"):
                for entry in page.get(kind, []):
                    yield Listed(
                        key=entry["Key"],
                        bytes=entry.get("Size", 0),
                        modified_at=entry["LastModified"],
                        version_id="" if entry.get("VersionId") in (None, "null") else entry["VersionId"],
                        is_latest=bool(entry.get("IsLatest")),
                        is_marker=kind == "DeleteMarkers",
                    )
            if not page.get("IsTruncated"):
                return
            more = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}

    def delete(self, key: str, version_id: str = "", *, is_bypassing: bool = False) -> None:
        """Delete a version for good, or what is there. Raises ObjectLocked, StorageDenied."""
        words = {**_version(version_id), **({"BypassGovernanceRetention": True} if is_bypassing else {})}
        try:
            self._call("delete_object", Key=key, **words)
        except StorageDenied as error:
            if self._is_locked(key, version_id):
                raise ObjectLocked("The store keeps an object until its date.", key=key) from error
            raise

    def _is_locked(self, key: str, version_id: str) -> bool:
        try:
            return self.head(key, version_id).locked_until is not None
        except StorageError:
            return False

    def lock(self, key: str, version_id: str, lock: Lock) -> None:
        """Keep an object for longer."""
        retention = {"Mode": lock.mode.value.upper(), "RetainUntilDate": lock.until}
        self._call("put_object_retention", Key=key, Retention=retention, **_version(version_id))

    def has_versions(self) -> bool:
        """Return whether the bucket keeps former versions."""
        return bool(self._call("get_bucket_versioning").get("Status") == "Enabled")

    def has_lock(self) -> bool:
        """Return whether the bucket can keep objects until a date. Raises StorageError where it was never set up."""
        said = self._call("get_object_lock_configuration").get("ObjectLockConfiguration", {})
        return bool(said.get("ObjectLockEnabled") == "Enabled")

    def uploads(self, prefix: str) -> list[tuple[str, str]]:
        """Return (key, upload id) of what was begun in parts and not finished, oldest first."""
        found, more = [], dict[str, Any]()
        while True:
            page = self._call("list_multipart_uploads", Prefix=prefix, **more)
            found += [(entry["Key"], entry["UploadId"]) for entry in page.get("Uploads", [])]
            if not page.get("IsTruncated"):
                return found
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def begin(self, key: str, *, lock: Lock | None, sha256: str) -> str:
        """Begin an object in parts; return its upload id."""
        words = {"ChecksumAlgorithm": "SHA256", "Metadata": {SHA256: sha256}, **self._kept_as(lock)}
        return str(self._call("create_multipart_upload", Key=key, **words)["UploadId"])

    def parts(self, key: str, upload_id: str) -> dict[int, tuple[int, str]]:
        """Return (bytes, ETag) of the parts that are there, by number from 1."""
        found, more = dict[int, tuple[int, str]](), dict[str, Any]()
        while True:
            page = self._call("list_parts", Key=key, UploadId=upload_id, **more)
            found |= {entry["PartNumber"]: (int(entry["Size"]), entry["ETag"]) for entry in page.get("Parts", [])}
            if not page.get("IsTruncated"):
                return found
            more = {"PartNumberMarker": page["NextPartNumberMarker"]}

    def put_part(self, key: str, upload_id: str, number: int, content: bytes, sha256: str) -> str:
        """Send a part; return its ETag."""
        words = {"Key": key, "UploadId": upload_id, "PartNumber": number, "ChecksumSHA256": _as_base64(sha256)}
        return str(self._send("upload_part", content, **words)["ETag"])

    def finish(self, key: str, upload_id: str, parts: dict[int, tuple[str, str]]) -> str:
        """Make an object of its parts, (ETag, SHA-256 in hex) by number; return its version."""
        told = [
            {"PartNumber": number, "ETag": etag, "ChecksumSHA256": _as_base64(sha256)}
            for number, (etag, sha256) in sorted(parts.items())
        ]
        done = self._call("complete_multipart_upload", Key=key, UploadId=upload_id, MultipartUpload={"Parts": told})
        return str(done.get("VersionId", ""))

    def give_up(self, key: str, upload_id: str) -> None:
        """Forget an object that was begun in parts."""
        self._call("abort_multipart_upload", Key=key, UploadId=upload_id)

    def _kept_as(self, lock: Lock | None) -> dict[str, Any]:
        words = lock.words() if lock else {}
        return words | ({"StorageClass": self.place.storage_class} if self.place.storage_class else {})

    def _send(self, operation: str, content: bytes, **words: Any) -> dict[str, Any]:
        return self._call(
            operation, lambda: PacedBody(content, self._pace) if self._pace.is_limited else content, **words
        )

    def _call(self, operation: str, body: Callable[[], Any] | None = None, **words: Any) -> dict[str, Any]:
        """Ask, and ask again as long as that may help: as late as the store says, else a little later each time."""
        for attempt in range(self._attempts):
            more = {"Body": body()} if body else {}
            try:
                return self._once(operation, {**words, **more})
            except (StorageBusy, StorageUnreachable) as error:
                if attempt == self._attempts - 1:
                    raise
                said = float(error.context.get("retry_seconds") or 0.0)  # type: ignore[arg-type]
                self._is_cancelled.wait(min(max(said, 0.5 * 2**attempt), LONGEST_WAIT))
        raise AssertionError(operation)

    def _once(self, operation: str, words: dict[str, Any]) -> dict[str, Any]:
        call = getattr(self._client, operation)
        answer: dict[str, Any] = self._guarded(lambda: call(Bucket=self.place.bucket, **words))
        return answer

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Do it; what the library raises becomes ours. Raises Stopped when somebody cancelled it meanwhile."""
        from saveos.offsite import refusals  # noqa: PLC0415 - see `__init__`

        if self._is_cancelled.is_set():
            raise Stopped("Stopped: the next one goes on from there.")
        try:
            return call()
        except refusals.FOREIGN as error:
            if self._is_cancelled.is_set():
                raise Stopped("Stopped: the next one goes on from there.") from error
            raise refusals.translated(error) from error


def _version(version_id: str) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id else {}


def _as_base64(digest: str) -> str:
    return base64.b64encode(bytes.fromhex(digest)).decode()
