"""HTTPS to the appliance: pinned to its root, one connection kept open, problems turned into failures."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from saveos import __version__
from saveos.agent.failures import Failure, Refused
from saveos.agent.upload import Upload
from saveos.protocol import (
    AGENT_SERVER_NAME,
    ANSWER_PATH,
    ENROL_SERVER_NAME,
    ESCROW_PATH,
    HEARTBEAT_PATH,
    LENT_KEY_PATH,
    LISTINGS_PATH,
    OWN_EXECUTABLE_PATH,
    OWN_JOBS_PATH,
    OWN_SNAPSHOTS_PATH,
    OWN_STATUS_PATH,
    PROGRESS_PATH,
    RECOVERY_CHALLENGE_PATH,
    RECOVERY_HOST_PATH,
    RECOVERY_HOSTS_PATH,
    RECOVERY_ROOT_PATH,
    REGISTER_PATH,
    RENEW_PATH,
    REPORT_PATH,
    STREAM_PATH,
    Answer,
    AnswerReceipt,
    Challenge,
    ChallengeRequest,
    Enrolment,
    EnrolRequest,
    EscrowRequest,
    Heartbeat,
    HeartbeatAnswer,
    LentKeyRequest,
    ListingPart,
    ListingsWanted,
    OwnJob,
    OwnJobRequest,
    OwnSnapshot,
    OwnStatus,
    Progress,
    ProgressAnswer,
    RecoverableHost,
    RecoverableHosts,
    Recovery,
    RecoveryProof,
    RecoveryRequest,
    RecoveryRoot,
    Renewal,
    RenewRequest,
    SealedKey,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.agent.settings import Config, Home
    from saveos.protocol import JobReport

T = TypeVar("T")
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
LENT_SECONDS = 60.0


class _Problem(msgspec.Struct):
    detail: str = ""
    code: str = "error"


class _Snapshots(msgspec.Struct):
    items: list[OwnSnapshot]


class Client:
    """Speaks to one appliance. Not for use by two threads at once."""

    def __init__(self, addresses: tuple[str, ...], context: ssl.SSLContext, name: str, token: str = "") -> None:
        """Use `for_host` or `for_enrolment`."""
        self.addresses, self._context, self._name, self._token = addresses, context, name, token
        self._connection: http.client.HTTPConnection | None = None
        self.at = ""  # the address that proved to be our appliance

    @classmethod
    def for_host(cls, home: Home, config: Config) -> Client:
        """Return a client with the host's certificate and token."""
        credentials = home.credentials(config.credentials)
        try:
            context = trusting(home.root)
            context.load_cert_chain(credentials / "agent.pem", credentials / "agent.key")
            token = (credentials / "token").read_text().strip()
        except (OSError, ssl.SSLError) as error:
            message = f"This host's identity cannot be read ({error}). Provision and enrol it again."
            raise Failure("not-enrolled", message) from error
        return cls(home.order(config), context, AGENT_SERVER_NAME, token)

    @classmethod
    def for_enrolment(cls, addresses: tuple[str, ...], root: Path) -> Client:
        """Return a client that has no identity yet."""
        return cls(addresses, trusting(root), ENROL_SERVER_NAME)

    @classmethod
    def unproven(cls, addresses: tuple[str, ...], context: ssl.SSLContext) -> Client:
        """Return a client for what proves itself otherwise: the root certificate, by its fingerprint."""
        return cls(addresses, context, ENROL_SERVER_NAME)

    def recovery_root(self) -> RecoveryRoot:
        """Read the root certificate."""
        return self._call("GET", RECOVERY_ROOT_PATH, None, RecoveryRoot)

    def recovery_challenge(self, request: ChallengeRequest) -> Challenge:
        """Ask for something that only the recovery code opens."""
        return self._call("POST", RECOVERY_CHALLENGE_PATH, request, Challenge)

    def recovery_hosts(self, proof: RecoveryProof) -> tuple[RecoverableHost, ...]:
        """List the hosts that can come back."""
        return self._call("POST", RECOVERY_HOSTS_PATH, proof, RecoverableHosts).items

    def recover(self, request: RecoveryRequest) -> Recovery:
        """Take a host's place."""
        return self._call("POST", RECOVERY_HOST_PATH, request, Recovery)

    def enrol(self, request: EnrolRequest) -> Enrolment:
        """Spend the one-time token."""
        return self._call("POST", REGISTER_PATH, request, Enrolment)

    def renew(self, csr: str) -> Renewal:
        """Ask for the next certificate."""
        return self._call("POST", RENEW_PATH, RenewRequest(csr=csr), Renewal)

    def escrow(self, request: EscrowRequest) -> None:
        """Hand over the sealed key."""
        self._call("POST", ESCROW_PATH, request, None)

    def heartbeat(self, said: Heartbeat) -> HeartbeatAnswer:
        """Say that we live, and wait for work."""
        return self._call("POST", HEARTBEAT_PATH, said, HeartbeatAnswer, ANSWER_SECONDS + said.wait_seconds)

    def status(self) -> OwnStatus:
        """Ask how the appliance sees us."""
        return self._call("GET", OWN_STATUS_PATH, None, OwnStatus)

    def snapshots(self) -> list[OwnSnapshot]:
        """List our snapshots, newest first."""
        return self._call("GET", OWN_SNAPSHOTS_PATH, None, _Snapshots).items

    def request_job(self, asked: OwnJobRequest) -> OwnJob:
        """Ask for a job of our own."""
        return self._call("POST", OWN_JOBS_PATH, asked, OwnJob)

    def progress(self, job_id: str, said: Progress) -> ProgressAnswer:
        """Say how far a job is."""
        return self._call("POST", PROGRESS_PATH.format(job_id=job_id), said, ProgressAnswer)

    def report(self, job_id: str, report: JobReport) -> None:
        """Say how a job ended."""
        self._call("POST", REPORT_PATH.format(job_id=job_id), report, None)

    def answer(self, question_id: str, answer: Answer) -> AnswerReceipt:
        """Answer a question, or say how far the answer is."""
        return self._call("POST", ANSWER_PATH.format(question_id=question_id), answer, AnswerReceipt)

    def listings_wanted(self) -> ListingsWanted:
        """Ask which snapshots the catalogue lacks."""
        return self._call("GET", LISTINGS_PATH, None, ListingsWanted)

    def listing(self, part: ListingPart) -> None:
        """Hand over a part of a listing."""
        self._call("POST", LISTINGS_PATH, part, None)

    def stream(self, question_id: str) -> Upload:
        """Begin to answer a question with a stream, on a connection of its own. Raises Failure `unreachable`."""
        try:
            connection = self._open()
            connection.sock.settimeout(ANSWER_SECONDS)
            connection.putrequest("POST", STREAM_PATH.format(question_id=question_id))
            for name, value in self._headers().items():
                connection.putheader(name, value)
            connection.putheader("content-type", "application/octet-stream")
            connection.putheader("transfer-encoding", "chunked")
            connection.endheaders()
        except (OSError, http.client.HTTPException) as error:
            raise Failure("unreachable", f"The appliance cannot be reached: {error}.") from error
        return Upload(connection)

    @contextlib.contextmanager
    def executable(self, sha256: str, offset: int) -> Iterator[tuple[int, http.client.HTTPResponse]]:
        """Open the executable that we are to become; give where the bytes begin, and the response to read them from.

        Raises Refused, or Failure `unreachable`, which a broken line in the middle of it becomes too.
        """
        headers = self._headers() | ({"range": f"bytes={offset}-"} if offset else {})
        try:
            connection = self._open()
            with contextlib.closing(connection):
                connection.sock.settimeout(ANSWER_SECONDS)
                connection.request("GET", f"{OWN_EXECUTABLE_PATH}?sha256={sha256}", headers=headers)
                response = connection.getresponse()
                if response.status >= http.client.BAD_REQUEST:
                    raise _refusal(response.status, response.read())
                yield offset if response.status == http.client.PARTIAL_CONTENT else 0, response
        except (TimeoutError, ConnectionError, ssl.SSLError, http.client.HTTPException) as error:
            raise _unreachable(error) from error

    def lent_key(self, job_id: str, certificate: str) -> SealedKey:
        """Ask for the key of another host's repository, for the restore in hand."""
        path, request = LENT_KEY_PATH.format(job_id=job_id), LentKeyRequest(certificate=certificate)
        return self._call("POST", path, request, SealedKey, LENT_SECONDS)

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(
        self,
        method: str,
        path: str,
        body: msgspec.Struct | None,
        answer: type[T] | None,
        seconds: float = ANSWER_SECONDS,
    ) -> T:
        """Send one request. Raises Refused (a problem) or Failure `unreachable`."""
        payload = msgspec.json.encode(body) if body is not None else None
        headers = self._headers()
        if payload is not None:
            headers["content-type"] = "application/json"
        was_open = self._connection is not None
        try:
            status, raw = self._exchange(method, path, payload, headers, seconds)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if was_open and isinstance(error, http.client.RemoteDisconnected | ConnectionError | ssl.SSLEOFError):
                return self._call(method, path, body, answer, seconds)  # closed while idle: once more, anew
            raise _unreachable(error) from error
        if status >= http.client.BAD_REQUEST:
            raise _refusal(status, raw)
        try:
            return msgspec.json.decode(raw, type=answer) if answer is not None else None  # type: ignore[return-value]
        except msgspec.MsgspecError as error:
            raise Failure("protocol", f"The appliance's answer cannot be understood: {error}.") from error

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json", "user-agent": f"saveos-agent/{__version__}"}
        return headers | ({"authorization": f"Bearer {self._token}"} if self._token else {})

    def _exchange(
        self, method: str, path: str, payload: bytes | None, headers: dict[str, str], seconds: float
    ) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = self._open()
        self._connection.sock.settimeout(seconds)
        self._connection.request(method, path, payload, headers)
        response = self._connection.getresponse()
        raw = response.read()
        if response.will_close:
            self.close()
        return response.status, raw

    def _open(self) -> http.client.HTTPConnection:
        """Connect to the first address that proves to be our appliance."""
        reasons = []
        self.at = ""
        for address in self.addresses:
            host, _, port = address.rpartition(":")
            try:
                raw = socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS)
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except (OSError, ValueError) as error:
                reasons.append(f"{address}: {error}")
                continue
            try:
                wrapped = self._context.wrap_socket(raw, server_hostname=self._name)
            except OSError as error:
                raw.close()
                reasons.append(f"{address}: {error}")
                continue
            self.at = address
            # The one that answers comes first from now on: trying a dead one again costs its time-out.
            self.addresses = (address, *(other for other in self.addresses if other != address))
            connection = http.client.HTTPConnection(host.strip("[]"), int(port))
            connection.sock = wrapped
            return connection
        raise ConnectionError("; ".join(reasons) or "no address is known")


def trusting(root: Path) -> ssl.SSLContext:
    """Return a context that trusts one root and nothing else, whatever the environment says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=str(root))
    return context


def _unreachable(error: Exception) -> Failure:
    return Failure("unreachable", f"The appliance cannot be reached: {error or type(error).__name__}.")


def _refusal(status: int, raw: bytes) -> Refused:
    problem: Any = _Problem(detail=f"The appliance answered {status}.")
    with contextlib.suppress(msgspec.MsgspecError):
        problem = msgspec.json.decode(raw, type=_Problem)
    return Refused(problem.code, problem.detail or f"The appliance answered {status}.", status)
