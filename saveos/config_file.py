"""Change one value of saveos.toml and leave everything else as it is: other keys, order, comments."""

from __future__ import annotations

import contextlib
import os
import tomllib
from typing import TYPE_CHECKING

from saveos.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Value = str | Sequence[str]

MODE = 0o600


def put(path: Path, name: str, value: Value) -> None:
    """Let the top-level key `name` have this value; the file is replaced as a whole, and made if there is none.

    Raises InvalidRequest when the file cannot be read or safely changed, Unavailable when it cannot be written.
    """
    try:
        former = path.read_text(encoding="utf-8") if path.exists() else ""
        known = tomllib.loads(former)
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read: {error}."
        raise InvalidRequest(message) from error
    text = _changed(former, name, f"{name} = {_written(value)}", is_there=name in known)
    if tomllib.loads(text) != {**known, name: value if isinstance(value, str) else list(value)}:
        message = f"{path} is written in a way that only a person should change: set {name} there by hand."
        raise InvalidRequest(message)
    try:
        _replace(path, text)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}."
        raise Unavailable(message) from error


def _changed(text: str, name: str, line: str, *, is_there: bool) -> str:
    lines = text.splitlines(keepends=True)
    top = next((number for number, read in enumerate(lines) if read.lstrip().startswith("[")), len(lines))
    if not is_there:
        while top and not lines[top - 1].strip():
            top -= 1  # before the empty lines that set a table apart
        before = "".join(lines[:top])
        return before + ("\n" if before and not before.endswith("\n") else "") + line + "\n" + "".join(lines[top:])
    for start, end in _spans(lines):
        if lines[start].partition("=")[0].strip().strip("\"'") == name:
            return "".join(lines[:start]) + line + _comment(lines[end - 1]) + "\n" + "".join(lines[end:])
    return text


def _spans(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Return where each top-level assignment begins and ends: the fewest lines that are TOML by themselves."""
    spans, number = [], 0
    while number < len(lines) and not lines[number].lstrip().startswith("["):
        end = number + 1
        if lines[number].strip() and not lines[number].lstrip().startswith("#"):
            while end < len(lines) and not _is_whole("".join(lines[number:end])):
                end += 1
            spans.append((number, end))
        number = end
    return spans


def _is_whole(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _comment(line: str) -> str:
    """Return the comment at the end of a value's last line, with its spaces."""
    for place in (place for place, sign in enumerate(line) if sign == "#"):
        kept = line[:place].rstrip()
        if _is_whole(kept) or _is_whole(f"x = [{kept}") or kept.strip() == "]":
            return "  " + line[place:].rstrip()
    return ""


def _written(value: Value) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return f"[{', '.join(map(_quoted, value))}]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in escaped) + '"'


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else MODE
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
