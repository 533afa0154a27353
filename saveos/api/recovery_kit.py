"""/recovery-kit: confirm the recovery kit, or make another. A plain page, as it shows the code."""

from __future__ import annotations

from html import escape
from typing import Any

from litestar import Request, Response, get
from litestar.response import Redirect

from saveos import clock
from saveos.api.entrance import HEADERS, LanguageQuery, Page
from saveos.api.kit_sheet import sheet
from saveos.identity.principals import Permission, Principal
from saveos.parts import Parts
from saveos.repositories import table_keys
from saveos.tenants import kits, users
from saveos.tenants.model import Kit, MadeBy

PATH = "/recovery-kit"


@get(PATH, include_in_schema=False, sync_to_thread=True)
def recovery_kit(request: Request[Any, Any, Any], parts: Parts, language: LanguageQuery = "") -> Response[str]:
    """Show how the kit stands, and what can be done."""
    principal = request.scope["state"].get("principal")
    if not isinstance(principal, Principal):
        return Redirect(f"/login?next={PATH}", status_code=303, headers=HEADERS)
    principal.require(Permission.KEYS)
    page = Page(request, parts, language or principal.language)
    kit = kits.state(parts.database, principal)
    body = (
        _opening(page, kit, principal)
        + _state(page, kit, parts, principal)
        + sheet(page.say, parts, users.tenant_name(parts.database, principal))
        + _by_groups(page)
        + _by_code(page)
        + "</div>"
    )
    return page.respond(page.say("kit.title"), body, is_wide=True, module="recovery.js")


def _opening(page: Page, kit: Kit, principal: Principal) -> str:
    say = page.say
    asked = kit.groups if kit.confirmed_at is None else ()
    data = {
        "who": escape(principal.name),
        "salt": escape(kit.salt),
        "public": escape(kit.public_key),
        "groups": " ".join(map(str, asked)),
        "confirmed": "1" if kit.confirmed_at else "",
        "group": say("kit.group", number="#"),
        "mistyped": say("kit.mistyped"),
        "wrong-code": say("kit.wrong_code"),
        "wrong-groups": say("kit.wrong_groups"),
        "invalid-request": say("kit.wrong_groups"),
        "wrong-recovery-code": say("kit.wrong_code"),
        "too-many-requests": say("problem.too-many-requests"),
        "not-authenticated": say("problem.not-authenticated"),
        "unreachable": say("entrance.unreachable"),
    }
    attributes = "".join(f' data-{name}="{value}"' for name, value in data.items())
    return f'<div id="kit"{attributes}>'


def _state(page: Page, kit: Kit, parts: Parts, principal: Principal) -> str:
    say = page.say
    progress = table_keys.resealing(parts.database.read, principal.tenant_id)
    made = say("kit.born_in_browser" if kit.made_by is MadeBy.BROWSER else "kit.born_here", day=_day(kit.made_at))
    is_confirmed = kit.confirmed_at is not None
    stands = say("kit.confirmed", day=_day(kit.confirmed_at)) if is_confirmed else say("kit.unconfirmed")
    sealed = (
        f'<p class="muted">{say("kit.resealed", done=progress.resealed_count, all=progress.hosts_count)}</p>'
        if progress.hosts_count
        else ""
    )
    return f"""<section id="state"><h1>{say("kit.title")}</h1><p>{say("kit.lead")}</p>
<div class="stack"><p class="notice{"" if is_confirmed else " bad"}">{stands}</p><p class="muted">{made}</p>{sealed}
<p id="not-able" class="notice bad" hidden>{say("kit.not_able")}</p>
<div class="row"><button id="renew" class="button" type="button" disabled>{say("kit.renew")}</button>
<a class="button" href="/">{say("own.go_on")}</a></div><p class="muted">{say("kit.renew_more")}</p></div></section>"""


def _by_groups(page: Page) -> str:
    say = page.say
    fields = "".join(
        f'<div class="field"><label for="group-{number}"></label><input id="group-{number}" class="mono" required'
        ' maxlength="16" autocomplete="off" spellcheck="false" autocapitalize="characters"></div>'
        for number in (1, 2)
    )
    return f"""<form id="by-groups" method="post" hidden><h2>{say("kit.confirm")}</h2><p>{say("kit.confirm_lead")}</p>
{fields}<p class="notice bad" role="alert"></p>
<div class="row"><button class="button primary" type="submit">{say("kit.confirm")}</button>
<button id="again" class="button" type="button" hidden>{say("kit.show_again")}</button></div></form>"""


def _by_code(page: Page) -> str:
    say = page.say
    return f"""<form id="by-code" method="post" hidden><h2>{say("kit.confirm")}</h2><p>{say("kit.confirm_whole")}</p>
<div class="field"><label for="whole">{say("setup.recovery_title")}</label><input id="whole" class="mono" required
 maxlength="128" autocomplete="off" spellcheck="false" autocapitalize="characters"></div>
<p class="notice bad" role="alert"></p>
<button class="button primary" type="submit">{say("kit.confirm")}</button></form>"""


def _day(moment: Any) -> str:
    return f"{moment or clock.now():%Y-%m-%d}"
