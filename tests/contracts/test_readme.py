"""The README's tables say what the code does, in both languages."""

from __future__ import annotations

import argparse
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from saveos import cli, config
from saveos.agent import __main__ as agent_cli
from saveos.api import application
from saveos.protocol import ExitCode

ROOT = Path(__file__).parents[2]
ENGLISH, FRENCH = ROOT / "README.md", ROOT / "docs" / "README.fr.md"
UNSHOWN_DEFAULTS = {"data", "names"}  # told in words
both = pytest.mark.parametrize("readme", [ENGLISH, FRENCH], ids=["en", "fr"])


def _rows(readme: Path, first: str) -> list[list[str]]:
    """Return the cells of every table row whose first cell looks like this, without code marks."""
    rows = [line.strip("| ").split(" | ") for line in readme.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip().strip("`") for cell in row] for row in rows]
    return [row for row in cells if re.fullmatch(first, row[0])]


@cache
def _operations() -> dict[tuple[str, str], str]:
    parts: Any = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        paths = application.build(parts).openapi_schema.to_schema()["paths"]
    return {
        (method.upper(), path): operation["summary"]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


def _commands(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> set[str]:
    """Return every command line that a parser knows, such as "saveos agent list"."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        return {" ".join(words)}
    return {line for name, child in below[0].choices.items() for line in _commands(child, (*words, name))}


@both
def test_endpoints_are_those_of_the_api(readme: Path) -> None:
    told = {(method, path): text for method, path, text in _rows(readme, "GET|POST|PUT|DELETE|PATCH")}

    assert _operations().keys() == told.keys()
    if readme is ENGLISH:
        assert _operations() == told


@both
def test_settings_are_those_of_the_code(readme: Path) -> None:
    told = {row[0]: row[1:] for row in _rows(readme, "[a-z_]+") if row[1].startswith("SAVEOS_")}
    settings = config.load({"data": "/nowhere"}, {})

    assert set(config.Settings.__struct_fields__) == told.keys()
    for name, (variable, default, _meaning) in told.items():
        assert config.variable_of(name) == variable
        assert name in UNSHOWN_DEFAULTS or str(getattr(settings, name)) == default


@both
def test_exit_codes_are_those_of_the_code(readme: Path) -> None:
    told = {int(row[0]): row[1] for row in _rows(readme, r"\d+")}

    assert {int(code): code.name.lower().replace("_", "-") for code in ExitCode} == told


@pytest.mark.parametrize("text", [cli.EXIT_CODES, agent_cli.EXIT_CODES], ids=["saveos", "saveos-agent"])
def test_exit_codes_of_the_help_are_those_of_the_code(text: str) -> None:
    said = {int(code) for code in re.findall(r"\d+", text)}

    assert said <= {int(code) for code in ExitCode}
    assert {ExitCode.WARNINGS, ExitCode.UNREACHABLE} <= said
    if text is agent_cli.EXIT_CODES:
        assert said == {int(code) for code in ExitCode}


@both
def test_commands_are_those_of_the_command_lines(readme: Path) -> None:
    known = _commands(cli._parser(), ("saveos",)) | _commands(agent_cli._parser(), ("saveos-agent",))
    told = {re.match(r"[a-z -]*[a-z]", row[0])[0] for row in _rows(readme, r"saveos.*")}  # type: ignore[index]

    assert known == {re.sub(r" --?.*", "", line) for line in told}


@both
def test_links_lead_somewhere(readme: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", readme.read_text())

    assert len(links) > 2
    for link in links:
        assert (readme.parent / link).exists(), link


def test_languages_say_the_same() -> None:
    english, french = ENGLISH.read_text(), FRENCH.read_text()

    for mark in (r"^#+ ", r"^```", r"^\* ", r"^\d+\. ", r"^\| "):
        counts = [len(re.findall(mark, text, re.MULTILINE)) for text in (english, french)]
        assert counts[0] == counts[1], mark
    commands = [re.findall(r"^\$?curl .*?(?=  |$)", text, re.MULTILINE) for text in (english, french)]
    assert commands[0] == commands[1]
