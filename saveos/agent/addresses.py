"""Where this host finds its appliance: the list that it was told, kept on disk, and the address that answered last.

Whoever answers is proven by the appliance's root and its fixed names, so a list can lead nowhere but to a holder of
that authority. What the host was enrolled with is never forgotten: it stands at the end.
"""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.client import Client
from saveos.agent.failures import Failure
from saveos.agent.settings import Known, write_private
from saveos.protocol import ADDRESSES_LIMIT, is_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.agent.settings import Config, Home
    from saveos.protocol import HeartbeatAnswer

log = logging.getLogger("saveos.agent")
RETURN_SECONDS = 600.0  # until addresses before the one that answers are looked at again


def keep(home: Home, told: Sequence[str], serial: int, at: str) -> Known:
    """Keep the appliance's list and the address that answered; return what is known since.

    A list that is empty, absurd or older than the one that we hold changes nothing. A disk that takes nothing does not
    either: the appliance tells it again.
    """
    was = home.known()
    good = tuple(dict.fromkeys(address for address in told if is_address(address)))[:ADDRESSES_LIMIT]
    is_taken = bool(good) and serial >= was.serial
    now = Known(told=good if is_taken else was.told, serial=serial if is_taken else was.serial, at=at)
    if now != was:
        try:
            write_private(home.addresses, msgspec.json.encode(now))
        except OSError as error:
            log.warning("The appliance's addresses cannot be kept: %s.", error)
    return now


class Whereabouts:
    """What a daemon knows of where its appliance is. Refused somewhere, it tries the other addresses first."""

    def __init__(self, home: Home) -> None:
        """Nothing was refused yet."""
        self._home = home
        self._refused: dict[str, float] = {}  # until when
        self._first = ""
        self._turn = 0
        self._look_at = time.monotonic() + _soon()

    def client(self, config: Config) -> Client:
        """Return a client that tries the addresses in order, those that refused us last."""
        client = Client.for_host(self._home, config)
        now = time.monotonic()
        client.addresses = tuple(
            sorted(client.addresses, key=lambda one: (one != self._first, self._refused.get(one, 0.0) > now))
        )
        return client

    def refused(self, client: Client) -> None:
        """Note that whoever answered does not serve us."""
        self._first = ""
        self._refused[client.at] = time.monotonic() + RETURN_SECONDS

    def heard(self, config: Config, client: Client, answer: HeartbeatAnswer) -> bool:
        """Take what an answer says of addresses; return whether a better one answers: go there.

        Raises Failure when it is not our appliance's present state that answered.
        """
        if not config.learns_addresses:
            return False
        if 0 < answer.addresses_serial < self._home.known().serial:
            self.refused(client)
            message = f"At {client.at} a former appliance answers: there is a later one."
            raise Failure("former-appliance", message)
        self._refused.pop(client.at, None)
        self._first = ""
        known = keep(self._home, answer.addresses, answer.addresses_serial, client.at)
        better = known.told[: known.told.index(client.at)] if client.at in known.told else known.told
        return answer.assignment is None and self._look(config, better, is_urgent=answer.has_moved)

    def _look(self, config: Config, better: Sequence[str], *, is_urgent: bool) -> bool:
        """Try one of these addresses if it is time; return whether our appliance serves us there."""
        now = time.monotonic()
        if not is_urgent and now < self._look_at:
            return False
        open_ones = [address for address in better if self._refused.get(address, 0.0) <= now]
        if self._turn >= len(open_ones):
            self._turn, self._look_at = 0, now + _soon()
            return False
        address = open_ones[self._turn]
        self._turn += 1
        client = Client.for_host(self._home, config)
        client.addresses = (address,)
        try:
            client.status()
        except Failure as failure:
            log.info("%s does not serve this host yet: %s", address, failure)
            if client.at:
                self.refused(client)
            return False
        finally:
            client.close()
        log.info("The appliance answers at %s.", address)
        self._first, self._turn, self._look_at = address, 0, now + _soon()
        return True


def _soon() -> float:
    """Return when to look again, never all hosts at once."""
    return RETURN_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
