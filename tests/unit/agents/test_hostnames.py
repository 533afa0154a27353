"""Pasted lists of host names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.agents import hostnames
from saveos.agents.hostnames import Fault, Wrong


@pytest.mark.parametrize("text", ["a\nb\nc", "a, b,c", "a;b c", "  a \r\n\r\n b,\n,c ", "# hosts\na # first\nb\nc"])
def test_read_takes_lines_and_commas(text: str) -> None:
    assert ("a", "b", "c") == hostnames.read(text).names


def test_read_tells_wrong_and_repeated_names_at_their_line() -> None:
    found = hostnames.read("web-01\nbad!name, db\n\nWEB-01\n-x")

    assert ("web-01", "db") == found.names
    assert found.faults == (
        Fault(line=2, name="bad!name", wrong=Wrong.NAME),
        Fault(line=4, name="WEB-01", wrong=Wrong.TWICE, first_line=1),
        Fault(line=5, name="-x", wrong=Wrong.NAME),
    )


def test_read_stops_at_the_first_name_too_many() -> None:
    found = hostnames.read("\n".join(f"h{number}" for number in range(hostnames.LIMIT + 50)))

    assert len(found.names) == hostnames.LIMIT
    assert found.faults == (Fault(line=501, name="h500", wrong=Wrong.TOO_MANY),)


@pytest.mark.parametrize("name", ["", "a b", "a\n", "é", "..", "=1+1", "../x", "a/b", "x" * 254])
def test_hostname_that_is_none_is_refused(name: str) -> None:
    assert not hostnames.is_hostname(name)


@given(st.text(max_size=200))
def test_read_gives_each_name_once_and_only_good_ones(text: str) -> None:
    names = hostnames.read(text).names

    assert all(map(hostnames.is_hostname, names))
    assert not hostnames.repeated(names)
