"""Numbers, sizes, times and sentences as a person reads them, in one language and one time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from saveos import clock
from saveos.locale import catalogue, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

THOUSAND = 1000
NO_BREAK = "\N{NO-BREAK SPACE}"
LIMITS = {"host": "quota.reached_host", "tenant": "quota.reached_all"}
MINUTE, HOUR, DAY = 60, 3600, 86400
JUST_NOW_SECONDS = 45
SHORT_DECIMALS_BELOW = 10


class Words:
    """How one reader is spoken to."""

    def __init__(self, language: str) -> None:
        """Speak `language`; times are UTC until `set_zone`."""
        self.language = language
        self._zone: tzinfo = UTC
        self._months = self.say("time.months").split()
        self._units = self.say("size.units").split()

    def set_zone(self, name: str) -> None:
        """Show times in the reader's zone; an unknown one leaves them in UTC."""
        try:
            self._zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._zone = UTC

    @property
    def zone_name(self) -> str:
        """The reader's zone by its IANA name."""
        return str(self._zone)

    @property
    def zone(self) -> tzinfo:
        """The reader's zone."""
        return self._zone

    def local(self, moment: datetime) -> datetime:
        """Return the moment on the reader's clock."""
        return moment.astimezone(self._zone)

    def say(self, key: str, **values: object) -> str:
        """Return a sentence."""
        return sentence(self.language, key, **values)

    def problem(self, code: str, message: str, facts: Mapping[str, Any] | None = None) -> str:
        """Return what went wrong in the reader's language: the English words know the case, the others its kind.

        With `facts`, a job's numbers, there are sentences of the very case in each language.
        """
        if facts and code == "quota-exceeded" and (key := LIMITS.get(facts.get("scope", ""))):
            return self.say(key, used=self.size(facts["used_bytes"]), limit=self.size(facts["limit_bytes"]))
        if self.language == "en" and message:
            return message
        return catalogue(self.language).get(f"problem.{code}", message)

    def count(self, key: str, number: int, **values: object) -> str:
        """Return the sentence `key`_one or `key`_many; French counts nought as one."""
        is_one = number == 1 or (number == 0 and self.language == "fr")
        return self.say(f"{key}_{'one' if is_one else 'many'}", count=self.number(number), **values)

    def number(self, number: float, decimals: int = 0) -> str:
        """Return 12,345.6 or 12 345,6."""
        text = f"{number:,.{decimals}f}"
        if self.language != "fr":
            return text
        return text.replace(",", "\N{NARROW NO-BREAK SPACE}").replace(".", ",")

    def percent(self, fraction: float) -> str:
        """Return 0 to 1 as 40 %."""
        return f"{int(fraction * 100)}{NO_BREAK if self.language == 'fr' else ''}%"

    def size(self, count: float) -> str:
        """Return bytes in decimal units: 1.2 GB, 34 MB."""
        power = 0
        while count >= THOUSAND - 0.5 and power < len(self._units) - 1:
            count /= THOUSAND
            power += 1
        decimals = 1 if power and count < SHORT_DECIMALS_BELOW else 0
        return f"{self.number(count, decimals)}{NO_BREAK}{self._units[power]}"

    def rate(self, count: float) -> str:
        """Return bytes per second."""
        return f"{self.size(count)}/s"

    def duration(self, seconds: float) -> str:
        """Return a span roughly, in its two largest units: 48 s, 3 min 20 s, 2 h 05 min, 3 d 4 h."""
        whole = int(seconds + 0.5)
        if whole < MINUTE:
            return self.say("time.seconds", s=whole)
        if whole < HOUR:
            return self.say("time.minutes", m=whole // MINUTE, s=f"{whole % MINUTE:02d}")
        if whole < DAY:
            return self.say("time.hours", h=whole // HOUR, m=f"{whole % HOUR // MINUTE:02d}")
        return self.say("time.days", d=whole // DAY, h=whole % DAY // HOUR)

    def remaining(self, seconds: float) -> str:
        """Return how long something will take yet: steps large enough not to flicker."""
        if seconds < MINUTE:
            return self.say("time.left", span=self.say("time.seconds", s=max(5, int(seconds / 5 + 0.5) * 5)))
        if seconds < HOUR:
            return self.say("time.left", span=self.say("time.only_minutes", m=int(seconds / MINUTE + 0.5)))
        return self.say("time.left", span=self.duration(seconds))

    def ago(self, moment: datetime) -> str:
        """Return how long ago (or in how long) a moment is, in words."""
        seconds = (clock.now() - moment).total_seconds()
        if abs(seconds) < JUST_NOW_SECONDS:
            return self.say("time.now")
        if seconds < 0:
            return self.say("time.in", span=self._span(-seconds))
        return self.say("time.ago", span=self._span(seconds))

    def exact(self, moment: datetime) -> str:
        """Return date and time in the reader's zone: 4 Mar 2026, 14:05."""
        local = moment.astimezone(self._zone)
        time = f"{local:%H:%M}"
        zone = "" if self._zone is not UTC else " UTC"
        month = self._months[local.month - 1]
        return self.say("time.exact", day=local.day, month=month, year=local.year, time=time) + zone

    def clock(self, moment: datetime) -> str:
        """Return the time of day in the reader's zone, to the second: 14:05:09."""
        return f"{moment.astimezone(self._zone):%H:%M:%S}"

    def midnight(self, day: date) -> datetime:
        """Return the moment at which a day begins in the reader's zone."""
        return datetime(day.year, day.month, day.day, tzinfo=self._zone)

    def day(self, moment: datetime) -> str:
        """Return the date in the reader's zone: 4 Mar 2026."""
        local = self.local(moment)
        return self.say("time.day", day=local.day, month=self._months[local.month - 1], year=local.year)

    def listing(self, parts: Sequence[str]) -> str:
        """Join the parts that are not empty with middle dots."""
        return " · ".join(part for part in parts if part)

    def _span(self, seconds: float) -> str:
        if seconds < HOUR - MINUTE / 2:
            return self.count("time.span_minute", max(1, int(seconds / MINUTE + 0.5)))
        if seconds < timedelta(hours=36).total_seconds():
            return self.count("time.span_hour", int(seconds / HOUR + 0.5))
        return self.count("time.span_day", int(seconds / DAY + 0.5))
