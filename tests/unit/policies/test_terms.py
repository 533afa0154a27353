"""What a policy may say, and how a refusal names the place."""

from __future__ import annotations

from typing import Any

import pytest
from borg.compress import CompressionSpec
from hypothesis import example, given
from hypothesis import strategies as st

from saveos.errors import InvalidRequest
from saveos.policies.model import Retention, Terms
from saveos.policies.terms import Why, checked

GOOD = ("none", "lz4", "zstd", "zstd,1", "zstd,22", "zlib,0", "zlib,9", "lzma", "lzma,6", "auto,zstd,7", "auto,lz4")


def refused(**values: Any) -> tuple[object, object, object]:
    with pytest.raises(InvalidRequest) as caught:
        checked(Terms(**{"name": "Servers", **values}))
    return tuple(caught.value.context.get(name) for name in ("field", "why", "position"))  # type: ignore[return-value]


def test_checked_takes_paths_of_every_platform() -> None:
    sources = ("/", "/srv/data", "/srv/a\\..\\b", "C:\\Users", "d:/Data", "\\\\nas\\share\\x")

    assert checked(Terms(name="x", sources=sources)).sources == sources


def test_checked_trims_what_people_leave() -> None:
    typed = Terms(name=" Servers ", schedule=" 0  2 * * * ", time_zone=" Europe/Paris ", maintenance=" 22:00-04:00 ")

    terms = checked(typed)

    kept = (terms.name, terms.schedule, terms.time_zone, terms.maintenance)
    assert ("Servers", "0 2 * * *", "Europe/Paris", "22:00-04:00") == kept


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("srv", Why.RELATIVE),
        ("C:", Why.RELATIVE),
        ("~/x", Why.RELATIVE),
        ("", Why.EMPTY),
        ("/a/../b", Why.UNCLEAN),
        ("C:\\a\\..\\b", Why.UNCLEAN),
        ("/a\0b", Why.UNCLEAN),
        ("/a\nb", Why.UNCLEAN),
        ("/" + "a" * 4096, Why.TOO_LONG),
        ("/good", Why.TWICE),
    ],
)
def test_checked_refuses_a_source_and_says_which(path: str, why: Why) -> None:
    assert ("sources", why, 1) == refused(sources=("/good", path))


@pytest.mark.parametrize(("pattern", "why"), [("re:(", Why.PATTERN), ("", Why.EMPTY), ("*/x\n", Why.UNCLEAN)])
def test_checked_refuses_an_exclude_and_says_which(pattern: str, why: Why) -> None:
    assert ("excludes", why, 2) == refused(excludes=("sh:**/node_modules", "*.o", pattern))


@pytest.mark.parametrize(
    ("values", "field", "why"),
    [
        ({"name": " "}, "name", Why.EMPTY),
        ({"name": "a" * 256}, "name", Why.TOO_LONG),
        ({"name": "a\x07b"}, "name", Why.UNCLEAN),
        ({"schedule": "every day"}, "schedule", Why.CRON),
        ({"schedule": "0 2 31 2 *"}, "schedule", Why.NEVER),
        ({"schedule": "0 " * 200}, "schedule", Why.TOO_LONG),
        ({"time_zone": "Europe/Atlantis"}, "time_zone", Why.ZONE),
        ({"time_zone": "../../etc/passwd"}, "time_zone", Why.ZONE),
        ({"compression": "zstd,99"}, "compression", Why.COMPRESSION),
        ({"retention": Retention(keep_daily=10_001)}, "retention", Why.OUT_OF_RANGE),
        ({"retention": Retention(keep_daily=-1)}, "retention", Why.OUT_OF_RANGE),
        ({"retention": Retention(keep_within_hours=87_601)}, "retention", Why.OUT_OF_RANGE),
        ({"maintenance": "3:00-7:00"}, "maintenance", Why.WINDOW),
        ({"maintenance": "03:00-24:00"}, "maintenance", Why.WINDOW),
        ({"maintenance": ""}, "maintenance", Why.WINDOW),
        ({"maintenance": "03:00-07:00\n03:00"}, "maintenance", Why.WINDOW),
        ({"sources": tuple(f"/{number}" for number in range(1001))}, "sources", Why.TOO_MANY),
    ],
)
def test_checked_refuses_and_names_the_field(values: dict[str, Any], field: str, why: Why) -> None:
    assert (field, why, None) == refused(**values)


def test_checked_takes_a_policy_that_runs_only_by_hand() -> None:
    assert checked(Terms(name="x", schedule=" ")).schedule == ""


@pytest.mark.parametrize("compression", GOOD)
def test_checked_takes_the_compressions_that_borg_takes(compression: str) -> None:
    CompressionSpec(compression)

    assert checked(Terms(name="x", compression=compression)).compression == compression


@given(st.text("auto,zstdlmbne0123456789", max_size=12))
@example("zstd,0")
@example("lzma,10")
@example("lz4\n")
def test_checked_takes_no_compression_that_borg_refuses(compression: str) -> None:
    try:
        checked(Terms(name="x", compression=compression))
    except InvalidRequest:
        return

    CompressionSpec(compression)
