"""Tickets: once, for whoever asked, and never so many that others get none."""

from __future__ import annotations

import pytest

from saveos.errors import NotFound, TooMany
from saveos.identity.principals import Actor, Principal, Role
from saveos.protocol import Chosen, ReadOrder, TenantId
from saveos.snapshots import tickets
from saveos.snapshots.tickets import Tickets

ORDER = ReadOrder(archive="", chosen=(Chosen(path="etc/passwd"),))
LONG = ReadOrder(archive="", chosen=tuple(Chosen(path="x" * 16384) for _ in range(1000)))


def person(tenant: int, number: int = 1) -> Principal:
    return Principal(
        actor=Actor.USER, id=f"usr_{tenant}_{number}", tenant_id=TenantId(f"tnt_{tenant}"), role=Role.ADMINISTRATOR
    )


def issued(made: Tickets, who: Principal, order: ReadOrder = ORDER) -> int:
    """Return how many of these a person gets."""
    for count in range(tickets.LIMIT + 1):
        try:
            made.issue(who, "snp_1", order)
        except TooMany:
            return count
    return tickets.LIMIT + 1


def test_person_leaves_tickets_to_others_of_the_tenant_and_that_one_to_other_tenants() -> None:
    made = Tickets()

    greedy = [issued(made, person(1, number)) for number in (1, 2, 3)]
    others = [issued(made, person(tenant, number)) for tenant in (2, 3, 4) for number in (1, 2)]

    assert [tickets.LIMIT_PER_PERSON, tickets.LIMIT_PER_TENANT - tickets.LIMIT_PER_PERSON, 0] == greedy
    assert tickets.LIMIT == sum(greedy) + sum(others)
    assert 0 == issued(made, person(5))


def test_paths_of_a_tenant_do_not_fill_the_memory() -> None:
    made = Tickets()

    greedy = issued(made, person(1), LONG)
    others = [issued(made, person(tenant), LONG) for tenant in range(2, 9)]

    assert greedy * 16384 * 1000 <= tickets.LIMIT_BYTES_PER_TENANT
    assert 1 <= greedy
    assert (greedy + sum(others)) * 16384 * 1000 <= tickets.LIMIT_BYTES
    assert others[0] == greedy


def test_ticket_is_spent_once_and_good_again_after_a_failure() -> None:
    made = Tickets()
    name = made.issue(person(1), "snp_1", ORDER)

    with pytest.raises(ZeroDivisionError), made.spent(person(1), name):
        raise ZeroDivisionError
    with made.spent(person(1), name) as ticket, pytest.raises(NotFound), made.spent(person(1), name):
        pass
    with pytest.raises(NotFound), made.spent(person(1), name):
        pass

    assert ORDER == ticket.order


def test_ticket_is_worth_nothing_to_others() -> None:
    made = Tickets()
    name = made.issue(person(1), "snp_1", ORDER)

    for other in (person(1, 2), person(2)):
        with pytest.raises(NotFound), made.spent(other, name):
            pass
