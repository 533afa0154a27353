"""/api/v1/agents/provision…: the one-time rights to enrol, one or many at once."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Controller, delete, get, post
from litestar.params import Parameter
from msgspec import Meta

from saveos.agents import hostnames, provisioning
from saveos.agents.model import Provisioning
from saveos.agents.provisioning import Terms
from saveos.api.problems import documented
from saveos.identity.principals import Permission, Principal
from saveos.installers import own_host
from saveos.jobs.model import GOOD, Job
from saveos.parts import Parts
from saveos.protocol import Hostname, Platform


class ProvisionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A host to be protected."""

    hostname: Hostname
    platform: Platform = Platform.LINUX
    expires_hours: Annotated[float, Meta(gt=0, le=8760)] | None = None
    policy_id: Annotated[str, Meta(max_length=64)] = ""  # empty: the default policy


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Many hosts to be protected, each named once."""

    hostnames: Annotated[list[Hostname], Meta(min_length=1, max_length=hostnames.LIMIT)]
    platform: Platform = Platform.LINUX
    expires_hours: Annotated[float, Meta(gt=0, le=8760)] | None = None
    policy_id: Annotated[str, Meta(max_length=64)] = ""


class BatchItem(msgspec.Struct, frozen=True, kw_only=True):
    """One right of a batch. `token` is shown this once; it is dead when the executable is downloaded instead."""

    provisioning: Provisioning
    token: str
    download_url: str


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The rights of a batch, in the order asked for. `command` is the same on every host: it asks for the token."""

    batch_id: str
    items: list[BatchItem]
    command: str
    archive_url: str
    list_url: str
    build_job_id: str | None


class Provisioned(msgspec.Struct, frozen=True, kw_only=True):
    """The right to enrol, and how to use it. `token` is shown this once."""

    provisioning: Provisioning
    token: str
    download_url: str
    command: str
    build_job_id: str | None  # the executable is being built; the download waits for it


class OwnProtection(msgspec.Struct, frozen=True, kw_only=True):
    """The newest job that protects the appliance's own machine.

    `command`: what is left to run once it is done, where no service could be installed.
    """

    job: Job | None
    hostname: str
    command: str


class ProvisioningList(msgspec.Struct, frozen=True, kw_only=True):
    """Provisionings, newest first."""

    items: list[Provisioning]


class Provisionings(Controller):
    """What people do with rights to enrol."""

    path = "/api/v1/agents"
    tags = ("agents",)

    @post("/provision", summary="Provision a host", sync_to_thread=True, responses=documented(409))
    def provision(self, data: ProvisionRequest, principal: Principal, parts: Parts) -> Provisioned:
        """Make the one-time right to enrol a host, and start building its executable if there is none yet."""
        principal.require(Permission.PROVISION)
        build_job_id = parts.ensure_base(principal, data.platform)
        hours = data.expires_hours or parts.settings.provisioning_hours
        made, token = provisioning.create(
            parts.database, principal, data.hostname, data.platform, hours=hours, policy_id=data.policy_id
        )
        return Provisioned(
            provisioning=made,
            token=token.text,
            download_url=parts.download_url(made),
            command=parts.download_command(made),
            build_job_id=build_job_id,
        )

    @post("/provision/batch", summary="Provision many hosts", sync_to_thread=True, responses=documented(409))
    def provision_batch(self, data: BatchRequest, principal: Principal, parts: Parts) -> Batch:
        """Make the one-time rights to enrol many hosts, all or none."""
        principal.require(Permission.PROVISION)
        build_job_id = parts.ensure_base(principal, data.platform)
        hours = data.expires_hours or parts.settings.provisioning_hours
        terms = Terms(platform=data.platform, hours=hours, policy_id=data.policy_id)
        made = provisioning.create_many(parts.database, principal, data.hostnames, terms)
        first = made[0][0]
        return Batch(
            batch_id=first.batch_id,
            items=[
                BatchItem(provisioning=right, token=token.text, download_url=parts.download_url(right))
                for right, token in made
            ],
            command=parts.download_command(first),
            archive_url=f"https://{parts.addresses[0]}/download/agents.zip?batch={first.batch_id}",
            list_url=f"https://{parts.addresses[0]}/download/agents.csv?batch={first.batch_id}",
            build_job_id=build_job_id,
        )

    @post(
        "/protect-appliance",
        summary="Protect the appliance's own host",
        status_code=202,
        sync_to_thread=True,
        responses=documented(409),
    )
    def protect_appliance(self, principal: Principal, parts: Parts) -> OwnProtection:
        """Enrol the machine that the appliance runs on, and start its service where that is possible."""
        job = own_host.request(parts.database, parts.settings, principal)
        return OwnProtection(job=job, hostname=own_host.hostname(), command="")

    @get(
        "/protect-appliance",
        summary="Show the appliance's own protection",
        sync_to_thread=True,
        responses=documented(),
    )
    def appliance_protection(self, principal: Principal, parts: Parts) -> OwnProtection:
        """Show how far the protection of the appliance's own machine is, and what is left to run by hand."""
        principal.require(Permission.PROVISION)
        job = own_host.latest(parts.database, principal)
        command = own_host.remaining_command(parts.settings) if job is not None and job.state in GOOD else ""
        return OwnProtection(job=job, hostname=own_host.hostname(), command=command)

    @delete(
        "/provisionings/{provisioning_id:str}",
        summary="Withdraw a provisioning",
        status_code=200,
        sync_to_thread=True,
        responses=documented(409),
    )
    def withdraw(
        self,
        provisioning_id: Annotated[str, Parameter(max_length=64, description="Id of a provisioning")],
        principal: Principal,
        parts: Parts,
    ) -> Provisioning:
        """Take an unused right to enrol back: its executable enrols nobody any more."""
        return provisioning.withdraw(parts.database, principal, provisioning_id)

    @get("/provisionings", summary="List provisionings", sync_to_thread=True, responses=documented())
    def provisionings(self, principal: Principal, parts: Parts) -> ProvisioningList:
        """List the newest provisionings."""
        return ProvisioningList(items=provisioning.find(parts.database, principal))
