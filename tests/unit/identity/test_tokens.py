"""Tokens and passwords."""

import pytest

from saveos.errors import InvalidRequest, NotAuthenticated
from saveos.identity import passwords, tokens
from saveos.identity.tokens import TokenKind
from saveos.logging import redact


def test_parse_of_a_created_token_gives_prefix_and_hash() -> None:
    token = tokens.create(TokenKind.ENROL)

    parsed = tokens.parse(TokenKind.ENROL, token.text)

    assert (token.prefix, token.secret_hash) == (parsed.prefix, parsed.secret_hash)


def test_parse_for_another_purpose_is_refused() -> None:
    token = tokens.create(TokenKind.ENROL)

    with pytest.raises(NotAuthenticated):
        tokens.parse(TokenKind.API, token.text)


@pytest.mark.parametrize("text", ["", "saveos_api_xyz_", "saveos_api_" + "0" * 12 + "_" + "a" * 500, "\0", "é" * 60])
def test_parse_of_nonsense_is_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        tokens.parse(TokenKind.API, text)


def test_repr_of_a_token_hides_its_secret() -> None:
    token = tokens.create(TokenKind.API)

    assert token.text not in repr(token)
    assert token.secret_hash not in repr(token)


def test_redact_strikes_out_tokens_and_bearers() -> None:
    token = tokens.create(TokenKind.AGENT)
    secret = token.text.rsplit("_", 1)[1]

    line = redact(f'{{"a": "{token.text}", "b": "Authorization: Bearer abcdefghijklmnopqrstuvwxyz"}}')

    assert secret not in line
    assert "abcdefghijklmnop" not in line
    assert token.prefix in line


def test_is_right_tells_passwords_apart() -> None:
    stored = passwords.hash_password("correct horse")

    assert passwords.is_right("correct horse", stored)
    assert not passwords.is_right("correct hors", stored)


def test_nobody_is_hashed_like_everybody_and_has_no_password() -> None:
    stored = passwords.hash_password("correct horse")

    assert stored.split("$")[:4] == passwords.NOBODY.split("$")[:4]
    assert list(map(len, stored.split("$"))) == list(map(len, passwords.NOBODY.split("$")))
    assert not passwords.is_right("correct horse", passwords.NOBODY)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025])
def test_hash_password_refuses_lengths_out_of_range(password: str) -> None:
    with pytest.raises(InvalidRequest):
        passwords.hash_password(password)
