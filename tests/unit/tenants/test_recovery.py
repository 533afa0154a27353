"""The recovery code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.errors import InvalidRequest
from saveos.tenants import recovery


def test_private_key_of_a_code_fits_the_public_key() -> None:
    code, public = recovery.create()

    assert public == recovery.private_key(code).public_key().public_bytes_raw()


def test_private_key_ignores_case_spaces_and_dashes() -> None:
    code, public = recovery.create()

    typed = "  " + code.lower().replace("-", " ") + "\n"

    assert public == recovery.private_key(typed).public_key().public_bytes_raw()


@given(position=st.integers(0, 55), letter=st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_private_key_of_a_mistyped_code_is_refused(position: int, letter: str) -> None:
    code = recovery.create()[0].replace("-", "")
    if code[position] == letter:
        return

    with pytest.raises(InvalidRequest):
        recovery.private_key(code[:position] + letter + code[position + 1 :])


@pytest.mark.parametrize("code", ["", "AAAA", "!" * 56, "A" * 1000, "é"])
def test_private_key_of_nonsense_is_refused(code: str) -> None:
    with pytest.raises(InvalidRequest):
        recovery.private_key(code)
