"""Every sentence on screen exists in every language, says the same things, and is used."""

from __future__ import annotations

import ast
import string
from functools import cache
from pathlib import Path

import pytest

import saveos
from saveos.locale import LANGUAGES, catalogue

PACKAGE = Path(saveos.__file__).parent
SPEAKERS = {"say", "sentence", "count"}  # functions that take a key
NUMBERS = ("_one", "_many")
OTHER_NAMES = {  # of what has one name already: checkpoint, damaged, appliance
    "en": ("quarantine",),
    "fr": ("quarantaine", "abîmé", "le serveur"),
}


@cache
def _trees() -> tuple[ast.Module, ...]:
    return tuple(ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py")))


def _literals() -> set[str]:
    """Every string in the code, those inside f-strings included."""
    nodes = [node for tree in _trees() for node in ast.walk(tree)]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def _asked() -> set[str]:
    """The literal keys given to a speaker."""
    calls = [node for tree in _trees() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    keys = set()
    for call in calls:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in SPEAKERS:
            texts = [word.value for word in call.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            keys |= {text for text in texts if "." in text}
    return keys


def _stem(key: str) -> str:
    for ending in NUMBERS:
        key = key.removesuffix(ending)
    return key


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_languages_have_the_same_keys() -> None:
    keys = {language: set(catalogue(language)) for language in LANGUAGES}

    assert all(keys["en"] == other for other in keys.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_name_the_same_values_in_each_language(language: str) -> None:
    english = catalogue("en")

    differing = {
        key for key, text in catalogue(language).items() if _fields(text) != _fields(english[key]) and "_one" not in key
    }

    assert set() == differing


def test_sentences_asked_for_exist() -> None:
    known = set(catalogue("en")) | {_stem(key) for key in catalogue("en")}

    assert set() == _asked() - known


def test_sentences_are_used() -> None:
    literals = _literals()

    # a problem is asked for by its code, which stands where it is raised
    asked = {key.removeprefix("problem.") if key.startswith("problem.") else key for key in catalogue("en")}
    unused = {key for key in asked if key not in literals and _stem(key) not in literals}

    assert set() == unused


@pytest.mark.parametrize("language", LANGUAGES)
def test_counted_sentences_come_in_pairs(language: str) -> None:
    keys = set(catalogue(language))

    stems = {_stem(key) for key in keys if key.endswith(NUMBERS)}

    assert {stem + ending for stem in stems for ending in NUMBERS} <= keys


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_are_typeset_for_people(language: str) -> None:
    texts = catalogue(language).values()

    assert [text for text in texts if "..." in text or text != text.strip() or "'" in text] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_thing_has_one_name_on_screen(language: str) -> None:
    sentences = catalogue(language).items()

    assert [] == [key for key, text in sentences if any(name in text.lower() for name in OTHER_NAMES[language])]
