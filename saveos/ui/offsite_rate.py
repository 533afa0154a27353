"""How fast copies may be sent: a limit, and another one for some hours of the day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import sizes
from saveos.errors import InvalidRequest
from saveos.offsite.model import Rate
from saveos.ui import components
from saveos.ui.quota import typed

if TYPE_CHECKING:
    from saveos.ui.frame import Visit

HOURS = 24


class RateFields:
    """The fields; hours are those of the reader's zone."""

    def __init__(self, visit: Visit, rate: Rate) -> None:
        """Draw them with what is kept."""
        say, words = visit.say, visit.words
        self._zone = words.zone_name
        has_hours = rate.other_from_hour != rate.other_until_hour
        begin, end = (str(hour) if has_hours else "" for hour in (rate.other_from_hour, rate.other_until_hour))
        hint, other = say("offsite.limit_hint"), typed(words, rate.other_bytes_per_second)
        self.fields = {
            "limit": components.Field(say("offsite.limit"), value=typed(words, rate.bytes_per_second), hint=hint),
            "other_limit": components.Field(say("offsite.other_limit"), value=other, hint=hint),
            "from_hour": components.Field(say("offsite.from_hour"), value=begin, inputmode="numeric", maxlength=2),
            "until_hour": components.Field(say("offsite.until_hour"), value=end, inputmode="numeric", maxlength=2),
        }

    def value(self) -> Rate:
        """Return what is typed. Raises InvalidRequest, naming the field."""
        sent, other = (_size(self.fields[name].value, name) for name in ("limit", "other_limit"))
        begin, end = (whole(self.fields[name].value, name, HOURS) for name in ("from_hour", "until_hour"))
        return Rate(
            bytes_per_second=sent,
            other_bytes_per_second=other,
            other_from_hour=begin,
            other_until_hour=end,
            time_zone=self._zone,
        )


def whole(text: str, field: str, most: int) -> int:
    """Return a whole number up to `most`; 0 for nothing. Raises InvalidRequest."""
    number = text.strip()
    if not number:
        return 0
    if not (number.isascii() and number.isdigit() and int(number) <= most):
        raise InvalidRequest(f"A whole number up to {most}.", field=field)
    return int(number)


def _size(text: str, field: str) -> int:
    try:
        return sizes.parse(text) or 0
    except ValueError as error:
        raise InvalidRequest(str(error), field=field) from error
