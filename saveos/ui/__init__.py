"""EDGE: the dashboard. NiceGUI pages, one file each; data only through the features' verbs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from saveos.parts import Parts

LOGO = Path(__file__).parent.parent / "api" / "assets" / "logo.svg"


def build(parts: Parts) -> Any:
    """Return the FastAPI application that carries the pages; its lifespan is NiceGUI's.

    Call it once in a process: NiceGUI keeps its pages globally.
    """
    # NiceGUI fixes this folder when it is imported; nothing is kept there.
    os.environ["NICEGUI_STORAGE_PATH"] = str(parts.settings.folder / "dashboard")

    from fastapi import FastAPI  # noqa: PLC0415 - after the folder is named
    from nicegui import app, ui  # noqa: PLC0415

    from saveos.ui import frame  # noqa: PLC0415
    from saveos.ui.pages import (  # noqa: PLC0415
        agent,
        agent_retention,
        agents,
        alerts,
        changes,
        downloads,
        files,
        job,
        jobs,
        monitoring,
        offsite,
        overview,
        policies,
        policy,
        profile,
        proofs,
        search,
        settings,
        snapshot,
        snapshots,
        versions,
    )

    app.config.quasar_config["loadingBar"]["skipHijack"] = True  # no bar for each small request
    shell = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    board = frame.Board(parts)
    pages = (overview, agents, agent, snapshots, snapshot, jobs, job, policies, policy, downloads, monitoring)
    for page in (*pages, alerts, agent_retention, files, changes, versions, search, settings, profile, proofs, offsite):
        page.register(board)
    frame.register_missing(board)  # last: it takes every other path
    ui.run_with(
        shell,
        title="SaveOS",
        favicon=LOGO.read_text(encoding="utf-8"),
        tailwind=False,
        dark=None,
        language="en-US",
        show_welcome_message=False,
        binding_refresh_interval=None,
        reconnect_timeout=10.0,
    )
    return shell
