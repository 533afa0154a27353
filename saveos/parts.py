"""What the edges are given: handlers as an argument, pages through a closure. Built once by `app.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agents import addresses as told_addresses
from saveos.agents.pulse import Pulse
from saveos.agents.streams import Streams
from saveos.agents.waiting import Waiting
from saveos.certificates.authority import Authority
from saveos.certificates.issuance import public_key_pin
from saveos.config import Settings
from saveos.database.connection import Database
from saveos.installers import bases, requests
from saveos.installers.rescue import Rescues
from saveos.protocol import Kind, Platform, Stamp
from saveos.repositories.unlocks import Unlocks
from saveos.snapshots import lending
from saveos.snapshots.reading import Means
from saveos.snapshots.tickets import Tickets
from saveos.snapshots.unsealing import Unsealing
from saveos.standing import Standing

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.agents.model import Provisioning
    from saveos.identity.principals import Principal
    from saveos.identity.tokens import Token


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The appliance, as its edges see it."""

    settings: Settings
    database: Database
    authority: Authority
    waiting: Waiting
    pulse: Pulse
    streams: Streams
    endings: Mapping[Kind, Any]
    standing: Standing
    unlocks: Unlocks
    unsealing: Unsealing
    reaches: Any = None  # the offsite copies that are read now
    sessions: Any = None  # the tunnel's registry, for the metrics
    tickets: Tickets = msgspec.field(default_factory=Tickets)
    rescues: Rescues = msgspec.field(default_factory=Rescues)

    @property
    def means(self) -> Means:
        """What it takes to read files out of snapshots."""
        return Means(database=self.database, streams=self.streams, unlocks=self.unlocks, reaches=self.reaches)

    @property
    def lending(self) -> lending.Means:
        """What it takes to lend a host's key to another."""
        return lending.Means(database=self.database, unlocks=self.unlocks, root=self.authority.root_pem)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the appliance is reached: "host:port", the best first."""
        return self.standing.addresses

    def download_url(self, provisioning: Provisioning) -> str:
        """Return where a provisioning's executable is fetched."""
        return (
            f"https://{self.addresses[0]}/download/agent/{provisioning.platform.value}?provisioning={provisioning.id}"
        )

    def download_command(self, provisioning: Provisioning) -> str:
        """Return the command for the host: curl with our key pinned; it asks for the token, so that no log keeps it."""
        return self._command(
            "Enrolment token", f"https://{self.addresses[0]}/download/agent/{provisioning.platform.value}"
        )

    def fetch_command(self, provisioning: Provisioning) -> str:
        """Return the command by which somebody with an API token fetches the executable onto the host."""
        return self._command("API token", self.download_url(provisioning))

    def page_url(self, provisioning: Provisioning) -> str:
        """Return where a person watches a provisioning; there is no secret in it."""
        return f"https://{self.addresses[0]}/downloads?provisioning={provisioning.id}"

    def stamp_of(self, provisioning: Provisioning, token: Token) -> Stamp:
        """Return what makes an executable this host's own."""
        return Stamp(
            addresses=told_addresses.for_stamp(self.database.read, self.addresses),
            root_certificate=self.authority.root_pem,
            token=token.text,
            hostname=provisioning.hostname,
        )

    def _command(self, asked: str, url: str) -> str:
        pin = public_key_pin(self.authority)
        return (
            f"read -rsp '{asked}: ' TOKEN && printf 'Authorization: Bearer %s' \"$TOKEN\" |"
            f" curl -fsSk --pinnedpubkey '{pin}' -H @- -o saveos-agent '{url}'"
            " && chmod +x saveos-agent && sudo ./saveos-agent install"
        )

    def ensure_base(self, principal: Principal, platform: Platform) -> str | None:
        """Return the id of the job that builds the platform's executable, or None when there is one."""
        return requests.ensure(self.database, self.settings, principal, platform)

    def base(self, platform: Platform) -> Path | None:
        """Return the ready executable of a platform, if any."""
        return bases.find(self.settings, platform)
