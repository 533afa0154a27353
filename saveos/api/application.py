"""The Litestar application: routes, what handlers are given, how errors look, the interactive documentation."""

from __future__ import annotations

from pathlib import Path

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router

from saveos import __version__
from saveos.api.addresses import ApplianceAddresses
from saveos.api.agents import AgentsThemselves, PeopleOnAgents
from saveos.api.alerts import Alerts, Guard
from saveos.api.catalogue import Catalogue
from saveos.api.documents import Lists
from saveos.api.downloads import agent_executable, agents_archive, agents_list
from saveos.api.entrance import ENTRANCE
from saveos.api.guards import provide_agent, provide_principal, provide_visitor
from saveos.api.health import health, prometheus
from saveos.api.holds import Holds
from saveos.api.jobs import Jobs
from saveos.api.keys import Keys
from saveos.api.listings import Listings
from saveos.api.measurements import Measurements
from saveos.api.offsite import Offsite
from saveos.api.policies import Policies
from saveos.api.problems import HANDLERS
from saveos.api.proofs import Proofs
from saveos.api.protection import Protections
from saveos.api.provisionings import Provisionings
from saveos.api.questions import Answers, Questions
from saveos.api.quotas import Quotas
from saveos.api.reading import Downloads, HostStreams
from saveos.api.reading_copy import CopyDownloads
from saveos.api.recovery import Recoveries, rescue_executable
from saveos.api.recovery_kit import recovery_kit
from saveos.api.selfbackup import SelfBackups
from saveos.api.session import Session
from saveos.api.settings import ApplianceSettings
from saveos.api.snapshots import Snapshots
from saveos.api.updates import Updates
from saveos.parts import Parts

BODY_LIMIT = 4 * 1024 * 1024
ASSETS = Path(__file__).parent / "assets"


def build(parts: Parts) -> Litestar:
    """Return the API and the plain pages before sign-in."""
    return Litestar(
        route_handlers=[
            Provisionings,
            PeopleOnAgents,
            AgentsThemselves,
            Protections,
            Quotas,
            Alerts,
            Guard,
            Updates,
            Jobs,
            Measurements,
            Snapshots,
            Holds,
            Questions,
            Answers,
            Listings,
            Downloads,
            CopyDownloads,
            HostStreams,
            Catalogue,
            Offsite,
            Policies,
            Proofs,
            Keys,
            Recoveries,
            rescue_executable,
            Session,
            ApplianceSettings,
            ApplianceAddresses,
            SelfBackups,
            agent_executable,
            agents_archive,
            agents_list,
            health,
            prometheus,
            create_static_files_router(path="/assets", directories=[ASSETS], include_in_schema=False),
            *ENTRANCE,
            recovery_kit,
        ],
        dependencies={
            "parts": Provide(lambda: parts, sync_to_thread=False),
            "principal": Provide(provide_principal, sync_to_thread=False),
            "agent": Provide(provide_agent, sync_to_thread=False),
            "visitor": Provide(provide_visitor, sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
        request_max_body_size=BODY_LIMIT,
        openapi_config=_documentation(),
        plugins=[Lists()],
        compression_config=CompressionConfig(
            backend="gzip", minimum_size=2048, exclude=["/download/", "/self/executable"]
        ),
        logging_config=None,
        debug=False,
    )


def _documentation() -> OpenAPIConfig:
    swagger = SwaggerRenderPlugin(
        js_url="/assets/swagger/swagger-ui-bundle.js",
        css_url="/assets/swagger/swagger-ui.css",
        standalone_preset_js_url="/assets/swagger/swagger-ui-standalone-preset.js",
        favicon='<link rel="icon" href="data:,">',
    )
    bearer = SecurityScheme(
        type="http", scheme="bearer", description="A personal API token (saveos_api_…), made under /api/v1/tokens."
    )
    return OpenAPIConfig(
        title="SaveOS",
        version=__version__,
        description="Backups of a fleet of machines. Errors are RFC 9457 problems with a stable `code`.",
        path="/docs",
        render_plugins=[swagger],
        components=Components(security_schemes={"token": bearer}),
        security=[{"token": []}],
        use_handler_docstrings=True,
    )
