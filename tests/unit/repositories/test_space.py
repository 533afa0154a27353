"""When backups stop for want of room, and when they go on."""

from __future__ import annotations

from saveos.repositories.space import CALM_SECONDS, Gauge

RESERVE = 1000


def test_gauge_stops_at_the_reserve_and_goes_on_only_after_a_calm() -> None:
    gauge = Gauge(RESERVE)

    assert not gauge.look(RESERVE, 0)
    assert gauge.look(RESERVE - 1, 1)
    assert gauge.look(RESERVE + 100, 2)  # more than the reserve, but too little to begin anew
    assert gauge.look(2 * RESERVE, 3)
    assert gauge.look(2 * RESERVE, 2 + CALM_SECONDS)
    assert not gauge.look(2 * RESERVE, 3 + CALM_SECONDS)


def test_gauge_stops_earlier_the_faster_the_disk_fills_and_no_earlier_than_twice_the_reserve() -> None:
    slow, fast, away = Gauge(RESERVE), Gauge(RESERVE), Gauge(RESERVE)

    for gauge, first, then in ((slow, 1510, 1500), (fast, 1800, 1500), (away, 10**6, 2 * RESERVE)):
        gauge.look(first, 0)
        gauge.look(then, 1)

    assert (False, True, False) == (slow.is_full, fast.is_full, away.is_full)


def test_gauge_calm_is_broken_by_less_room() -> None:
    gauge = Gauge(RESERVE, is_full=True)

    gauge.look(2 * RESERVE, 0)
    gauge.look(RESERVE, CALM_SECONDS - 1)
    gauge.look(2 * RESERVE, CALM_SECONDS)

    assert gauge.look(2 * RESERVE, 2 * CALM_SECONDS - 1)
    assert not gauge.look(2 * RESERVE, 2 * CALM_SECONDS)


def test_gauge_waits_longer_each_time_it_is_full_again_soon() -> None:
    gauge, now, waits = Gauge(RESERVE), 0.0, []

    for _ in range(4):
        gauge.look(0, now)
        began = now
        while gauge.look(2 * RESERVE, now):
            now += 1
        waits.append(now - began)
        now += 1

    assert [CALM_SECONDS * 2**number for number in range(4)] == waits


def test_gauge_without_a_reserve_never_stops() -> None:
    gauge = Gauge(0)
    gauge.look(10**9, 0)

    assert not gauge.look(0, 1)
