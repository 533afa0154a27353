"""Who acts, for which tenant, and what that role may do."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from saveos.errors import NotAllowed
from saveos.protocol import TenantId


class Role(StrEnum):
    """What a person is in a tenant."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Permission(StrEnum):
    """What a verb asks for."""

    READ = "read"  # agents, jobs, snapshots, statistics
    BACK_UP = "back-up"  # start and cancel jobs
    RESTORE = "restore"
    PROVISION = "provision"
    REVOKE = "revoke"
    POLICIES = "policies"  # change what is backed up, when, and how long it is kept
    SETTINGS = "settings"  # of the appliance itself
    USERS = "users"
    KEYS = "keys"
    ROLL_BACK = "roll-back"  # of a repository; say that what a host did was meant
    HOLDS = "holds"  # legal ones: place them, and two together let them go


class Actor(StrEnum):
    """What kind of being acts."""

    USER = "user"
    AGENT = "agent"
    SYSTEM = "system"  # the appliance itself, or somebody with a shell on it


MAY: dict[Role, frozenset[Permission]] = {
    Role.ADMINISTRATOR: frozenset(Permission),
    Role.OPERATOR: frozenset(
        {Permission.READ, Permission.BACK_UP, Permission.RESTORE, Permission.PROVISION, Permission.POLICIES}
    ),
    Role.VIEWER: frozenset({Permission.READ}),
}


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody known. Everything a verb reads or writes is bounded by `tenant_id`."""

    actor: Actor
    id: str
    tenant_id: TenantId
    name: str = ""
    role: Role = Role.VIEWER
    session_hash: str = ""  # of the browser session, if that is how they came
    language: str = ""
    theme: str = "system"
    time_zone: str = ""  # IANA name; empty: the browser's

    @property
    def label(self) -> str:
        """How the audit log names them."""
        return f"{self.actor}:{self.name or self.id}"

    def may(self, permission: Permission) -> bool:
        """Return whether the role holds the permission. An agent holds none of them."""
        return self.actor is Actor.SYSTEM or (self.actor is Actor.USER and permission in MAY[self.role])

    def require(self, permission: Permission) -> None:
        """Raise NotAllowed unless `may(permission)`."""
        if not self.may(permission):
            message = f"Your role does not permit this ({permission.value})."
            raise NotAllowed(message, permission=permission.value)


def system(tenant_id: TenantId, name: str = "appliance") -> Principal:
    """Return the appliance itself, acting in a tenant."""
    return Principal(actor=Actor.SYSTEM, id=name, tenant_id=tenant_id, name=name, role=Role.ADMINISTRATOR)
