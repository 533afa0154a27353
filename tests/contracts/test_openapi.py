"""What the OpenAPI document promises: every operation explains itself and its errors, and no public path goes away."""

from __future__ import annotations

import re
import warnings
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from saveos import errors
from saveos.api import application, problems
from saveos.locale import LANGUAGES, catalogue

# One "METHOD /path" a line, by path. Programs of other people depend on them: a new one is added, none is taken away.
ENDPOINTS = Path(__file__).parents[1] / "fixtures" / "openapi" / "endpoints.txt"
SUMMARY = re.compile(r"[A-Z][a-z]+( [A-Za-z']+){1,7}")  # a few words; the name of a handler would be one
ANYWHERE = {400, 401, 403, 404, 405, 413, 429, 500, 503}  # what any operation may answer
UNNAMED = {"error"}  # an error without a code of its own is shown in its own words


@cache
def _document() -> dict[str, Any]:
    parts: Any = None  # given to handlers; the document asks nothing of them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what the framework's next major version will change
        return application.build(parts).openapi_schema.to_schema()


def _operations() -> dict[str, dict[str, Any]]:
    """Every operation by "METHOD /path"."""
    return {
        f"{method.upper()} {path}": operation
        for path, operations in _document()["paths"].items()
        for method, operation in operations.items()
    }


def _errors(operation: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The documented error responses by status."""
    responses = {int(status): response for status, response in operation["responses"].items()}
    return {status: response for status, response in responses.items() if status >= HTTPStatus.BAD_REQUEST}


def _codes() -> set[str]:
    """Every code that a problem of the appliance may have."""
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    ours = {value.code for value in classes if issubclass(value, errors.SaveOSError)}
    return {*ours, *problems.CODES.values(), "internal-error"} - UNNAMED


def test_endpoints_are_the_ones_that_programs_know() -> None:
    offered = sorted(_operations(), key=lambda name: (name.split()[1], name))

    assert ENDPOINTS.read_text(encoding="utf-8").splitlines() == offered


def test_operations_are_summed_up_in_a_few_words() -> None:
    summaries = {name: operation["summary"] for name, operation in _operations().items()}

    assert {} == {name: text for name, text in summaries.items() if not SUMMARY.fullmatch(text)}


def test_summaries_tell_operations_apart() -> None:
    summaries = [operation["summary"] for operation in _operations().values()]

    assert sorted(set(summaries)) == sorted(summaries)


def test_operations_are_described_and_grouped() -> None:
    operations = _operations().items()

    assert [] == [name for name, said in operations if not said.get("description") or not said.get("tags")]


def test_operations_document_the_errors_that_any_may_answer() -> None:
    missing = {name: ANYWHERE - set(_errors(operation)) for name, operation in _operations().items()}

    assert {} == {name: statuses for name, statuses in missing.items() if statuses}


def test_documented_errors_are_problems() -> None:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

    different = {
        (name, status)
        for name, operation in _operations().items()
        for status, response in _errors(operation).items()
        if response["content"] != content
    }

    assert set() == different


def test_problem_has_the_members_of_rfc_9457_and_a_code() -> None:
    problem = _document()["components"]["schemas"]["Problem"]

    assert {"type", "title", "status", "detail", "code"} <= set(problem["properties"])
    assert {"title", "status", "detail", "code"} == set(problem["required"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_problems_have_a_sentence_for_people(language: str) -> None:
    assert set() == {code for code in _codes() if f"problem.{code}" not in catalogue(language)}
