"""JSON lines on standard error: when, where, what, and the context; anything that looks like a secret is struck out."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback

from saveos import clock

_SECRET = re.compile(r"(saveos_[a-z]+_[0-9a-f]{12}_)[A-Za-z0-9-]+|(?i:(bearer\s+))[A-Za-z0-9._~+/=-]{16,}")
_QUIET = ("uvicorn.error", "uvicorn.access", "apscheduler", "huey", "litestar", "asyncio", "httpx")


class JsonLines(logging.Formatter):
    """One object a line: at, level, logger, message, and context or trace where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON without secrets."""
        line: dict[str, object] = {
            "at": clock.to_text(clock.now()),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        context = getattr(record, "context", None)
        if context:
            line["context"] = context
        if record.exc_info:
            line["trace"] = "".join(traceback.format_exception(*record.exc_info))
        return redact(json.dumps(line, ensure_ascii=False, default=str))


def redact(text: str) -> str:
    """Return the text with the secret part of every token struck out."""
    return _SECRET.sub(lambda match: f"{match[1] or match[2]}***", text)


def configure(level: str) -> None:
    """Send everything to standard error; libraries speak from a warning on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        # uvicorn writes websocket addresses with page ids at INFO
        logging.getLogger(name).setLevel(logging.WARNING)
