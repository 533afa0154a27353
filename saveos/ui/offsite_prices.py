"""What a store asks for: chosen from known lists, or typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.errors import InvalidRequest
from saveos.offsite import costs
from saveos.offsite.model import Prices
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.ui.frame import Visit

OWN, NONE = "own", ""
NUMBERS = {
    "gigabyte_month": "offsite.gigabyte_month",
    "thousand_writes": "offsite.thousand_writes",
    "gigabyte_fetched": "offsite.gigabyte_fetched",
}


class PriceFields:
    """A list to choose from, and the fields that it fills."""

    def __init__(self, visit: Visit, prices: Prices | None) -> None:
        """Draw them with what is kept."""
        say = visit.say
        options = {
            NONE: say("offsite.no_prices"),
            OWN: say("offsite.own_prices"),
            **{name: name for name in costs.KNOWN},
        }
        known = next((name for name, listed in costs.KNOWN.items() if listed == prices), OWN)
        self._list = components.Select(say("offsite.prices"), options, known if prices else NONE, self._show)
        components.text("p", say("offsite.prices_hint"), "muted")
        with components.element("div", "fields" if prices else "hidden") as self._box:
            self.currency = components.Field(say("offsite.currency"), maxlength=3)
            self._numbers = {
                name: components.Field(say(sentence), inputmode="decimal", maxlength=12)
                for name, sentence in NUMBERS.items()
            }
        self._put(prices or Prices())

    def value(self) -> Prices | None:
        """Return what is chosen or typed. Raises InvalidRequest."""
        if not self._list.value:
            return None
        try:
            numbers = {name: float(field.value.replace(",", ".") or 0) for name, field in self._numbers.items()}
            return msgspec.convert({"currency": self.currency.value.strip().upper(), **numbers}, Prices)
        except (ValueError, msgspec.ValidationError) as error:
            raise InvalidRequest("That is no price.", field="prices") from error

    def _show(self) -> None:
        chosen = self._list.value
        components.dress(self._box, "fields" if chosen else "hidden")
        if chosen in costs.KNOWN:
            self._put(costs.KNOWN[chosen])

    def _put(self, prices: Prices) -> None:
        self.currency.put(prices.currency)
        for name, field in self._numbers.items():
            field.put(f"{getattr(prices, name):g}")
