"""Who calls: what the gate found out, as arguments of handlers."""

from __future__ import annotations

from typing import Any

from litestar import Request

from saveos.agents.model import AgentIdentity
from saveos.errors import NotAuthenticated
from saveos.identity.principals import Principal
from saveos.identity.sessions import Visitor


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    """Return the person who calls. Raises NotAuthenticated."""
    principal = request.scope["state"].get("principal")
    if isinstance(principal, Principal):
        return principal
    raise _refusal(request, "Sign in, or send an API token: 'Authorization: Bearer saveos_api_…'.")


def provide_agent(request: Request[Any, Any, Any]) -> AgentIdentity:
    """Return the host that calls. Raises NotAuthenticated."""
    agent = request.scope["state"].get("agent")
    if isinstance(agent, AgentIdentity):
        return agent
    raise _refusal(request, "Only an enrolled agent may call this, with its certificate and its token.")


def provide_visitor(request: Request[Any, Any, Any]) -> Visitor:
    """Return where a call comes from."""
    return Visitor(
        address=request.client.host if request.client else "", browser=request.headers.get("user-agent", "")[:255]
    )


def _refusal(request: Request[Any, Any, Any], message: str) -> Exception:
    refusal = request.scope["state"].get("refusal")
    return refusal if isinstance(refusal, Exception) else NotAuthenticated(message)
