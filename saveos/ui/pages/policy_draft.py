"""What a person has typed into the editor of a policy and not kept yet. It outlives each drawing of the page."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from saveos.policies.model import WITHIN_LIMIT, Policy, Retention, Terms
from saveos.ui.schedule_plan import Pace, Plan, plan_of

if TYPE_CHECKING:
    from collections.abc import Iterable

RULES = ("hourly", "daily", "weekly", "monthly", "yearly")
MOST = 10_000
UNITS = {"days": 24, "hours": 1}  # of the span, in hours


class Draft:
    """The fields as text; `is_changed` against what was kept last."""

    def __init__(self, policy: Policy | None) -> None:
        """Begin with a policy, or with the terms of a new one."""
        terms: Terms = policy or Terms(name="")
        self.name = terms.name
        self.sources = list(terms.sources)
        self.excludes = list(terms.excludes)
        self.plan: Plan = plan_of(terms.schedule)
        self.time_zone = terms.time_zone
        self.keep = {rule: str(getattr(terms.retention, f"keep_{rule}")) for rule in RULES}
        hours = terms.retention.keep_within_hours
        self.span_unit = "hours" if hours % UNITS["days"] else "days"
        self.span = str(hours // UNITS[self.span_unit])
        self.maintenance = terms.maintenance.split("-")  # when it begins and ends
        self.compression = terms.compression
        self.guard_canaries = terms.guard_canaries
        self.unreadable: set[str] = set()  # parts of the plan in whose fields something else is typed
        self._kept = self._state()

    def _state(self) -> object:
        paths = tuple(_filled(self.sources)), tuple(_filled(self.excludes))
        plan = self.plan.schedule, self.is_dayless
        keep = tuple(self.keep[rule].strip() or "0" for rule in RULES)
        how = (
            self._hours if self._hours is not None else self.span,
            tuple(self.maintenance),
            self.compression,
            self.guard_canaries,
        )
        return copy.deepcopy((self.name.strip(), paths, plan, self.time_zone.strip(), keep, how))

    @property
    def is_changed(self) -> bool:
        """Whether something is not kept yet; an empty line of a list is nothing."""
        return bool(self.unreadable) or self._state() != self._kept

    @property
    def is_dayless(self) -> bool:
        """Whether a week is chosen and none of its days."""
        return self.plan.pace is Pace.WEEKLY and not self.plan.weekdays

    @property
    def retention(self) -> Retention | None:
        """What is to be kept; None while a number is none."""
        numbers = {rule: _number(text) for rule, text in self.keep.items()}
        hours = self._hours
        if None in numbers.values() or hours is None:
            return None
        kept = {f"keep_{rule}": number or 0 for rule, number in numbers.items()}
        return Retention(keep_within_hours=hours, **kept)

    @property
    def wrong_rules(self) -> list[str]:
        """The rules whose number is none."""
        wrong = [rule for rule, text in self.keep.items() if _number(text) is None]
        return ["within", *wrong] if self._hours is None else wrong

    @property
    def _hours(self) -> int | None:
        """The span in hours; None while it is none."""
        factor = UNITS[self.span_unit]
        number = _number(self.span, WITHIN_LIMIT // factor)
        return None if number is None else number * factor

    def tidy(self) -> None:
        """Drop the empty lines of the lists, so that a position means the same here and in a refusal."""
        self.sources[:] = _filled(self.sources)
        self.excludes[:] = _filled(self.excludes)

    def terms(self, retention: Retention) -> Terms:
        """Return the terms to keep."""
        return Terms(
            name=self.name,
            sources=tuple(_filled(self.sources)),
            excludes=tuple(_filled(self.excludes)),
            schedule=self.plan.schedule,
            time_zone=self.time_zone,
            retention=retention,
            compression=self.compression,
            maintenance="-".join(self.maintenance),
            guard_canaries=self.guard_canaries,
        )

    def keep_now(self) -> None:
        """Call what stands here kept."""
        self._kept = self._state()


def _filled(entries: Iterable[str]) -> list[str]:
    return [entry.strip() for entry in entries if entry.strip()]


def _number(text: str, most: int = MOST) -> int | None:
    text = text.strip() or "0"
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    return int(text) if is_number and int(text) <= most else None
