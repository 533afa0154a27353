"""Every error as RFC 9457 `application/problem+json` with a stable `code`."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from saveos.errors import SaveOSError

log = logging.getLogger("saveos.api")
MEDIA_TYPE = "application/problem+json"
NO_BODY = {"field": "data", "message": "'data'"}  # how the framework says that there is none
CODES = {
    400: "invalid-request",
    401: "not-authenticated",
    403: "not-allowed",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    429: "too-many-requests",
}


class Problem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What went wrong: `code` is for programs, `detail` for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    fields: list[dict[str, Any]] = []


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """Return the problem responses of a handler for OpenAPI; what any handler may answer is always among them."""
    always = (400, 401, 403, 404, 405, 413, 429, 500, 503)
    return {
        status: ResponseSpec(
            data_container=Problem,
            description=HTTPStatus(status).phrase,
            media_type=MEDIA_TYPE,
            generate_examples=False,
        )
        for status in sorted({*always, *statuses})
    }


def problem(status: int, code: str, detail: str, fields: list[dict[str, Any]] | None = None) -> Response[Problem]:
    """Return the response of a problem."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, fields=fields or [])
    return Response(body, status_code=status, media_type=MEDIA_TYPE)


def on_ours(_request: Request[Any, Any, Any], error: SaveOSError) -> Response[Problem]:
    """Answer an error that SaveOS raised on purpose."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s: %s", error.code, error.message, extra={"context": error.context})
    fields = [{"field": error.context["field"]}] if "field" in error.context else None
    response = problem(error.status, error.code, error.message, fields)
    if "retry_seconds" in error.context:
        response.headers["retry-after"] = str(error.context["retry_seconds"])
    if error.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        response.headers["content-range"] = f"bytes */{error.context.get('whole_bytes', 0)}"
    return response


def on_http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[Problem]:
    """Answer an error of the framework: an unknown path, a body that does not fit its type."""
    fields = None
    if isinstance(error, ValidationException) and isinstance(error.extra, list):
        fields = [
            {"field": str(entry.get("key", "")), "message": str(entry.get("message", ""))}
            for entry in error.extra
            if isinstance(entry, dict)
        ]
    code = CODES.get(error.status_code, "error")
    detail = error.detail or HTTPStatus(error.status_code).phrase
    if fields == [NO_BODY]:
        fields, detail = None, "This needs a body: a JSON object."
    response = problem(error.status_code, code, detail, fields)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def on_bug(_request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """Answer what nobody foresaw: the trace goes to the log, never to the caller."""
    log.error("A request failed unexpectedly.", exc_info=error)
    return problem(500, "internal-error", "Something failed inside the appliance. Its log says what.")


def on_too_deep(_request: Request[Any, Any, Any], _error: RecursionError) -> Response[Problem]:
    """Answer JSON nested deeper than the decoder goes."""
    return problem(400, "invalid-request", "The JSON is nested too deeply.")


HANDLERS: dict[Any, Any] = {
    SaveOSError: on_ours,
    HTTPException: on_http,
    RecursionError: on_too_deep,
    Exception: on_bug,
}
