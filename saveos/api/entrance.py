"""/login, /setup, /logout: the plain pages before sign-in, so that the dashboard never talks to a stranger."""

from __future__ import annotations

import re
from html import escape
from typing import Annotated, Any

from litestar import MediaType, Request, Response, get, post
from litestar.params import Parameter
from litestar.response import Redirect

from saveos.api.kit_sheet import sheet
from saveos.api.session import session_cookie
from saveos.identity import passwords, sessions
from saveos.identity.principals import Principal
from saveos.locale import LANGUAGES, preferred, sentence
from saveos.parts import Parts
from saveos.tenants import users

# Nothing inline, nothing from elsewhere. The referrer policy lets the sign-out form carry its Origin.
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "same-origin",
}
NAMES = {"en": "English", "fr": "Français"}
# A path of this site: no scheme-relative "//host", no "/\host", nothing that browsers drop before they read it.
_OWN_PATH = re.compile(r"/(?![/\\])[^\x00-\x20\\\x7f]*")

LanguageQuery = Annotated[str, Parameter(query="lang", max_length=16)]
NextQuery = Annotated[str, Parameter(query="next", max_length=2048)]


class Page:
    """One page in one language."""

    def __init__(self, request: Request[Any, Any, Any], parts: Parts, chosen: str) -> None:
        """Speak the chosen language, else the browser's, else the appliance's."""
        self.language = preferred(request.headers.get("accept-language", ""), chosen, parts.standing.language)
        self._next = request.query_params.get("next", "")

    def say(self, key: str, **values: object) -> str:
        """Return a sentence, ready to stand in HTML."""
        return escape(sentence(self.language, key, **values))

    def respond(self, title: str, body: str, *, is_wide: bool = False, module: str = "") -> Response[str]:
        """Return the whole page. `module`: its script, if it is not that of the entrance."""
        script = f'type="module" src="/assets/{module}"' if module else 'src="/assets/entrance.js" defer'
        width = ' class="wide"' if is_wide else ""
        html = f"""<!doctype html>
<html lang="{self.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · SaveOS</title>
<link rel="icon" href="/assets/logo.svg">
<link rel="stylesheet" href="/assets/saveos.css">
<script {script}></script>
</head>
<body class="entrance">
<header><span class="brand"><img src="/assets/logo.svg" alt="">SaveOS</span>{self._languages()}</header>
<main{width}>{body}</main>
</body>
</html>"""
        return Response(html, media_type=MediaType.HTML, headers=HEADERS)

    def _languages(self) -> str:
        more = f"&amp;next={escape(self._next)}" if _OWN_PATH.fullmatch(self._next) else ""
        links = "".join(
            f'<a href="?lang={code}{more}" lang="{code}"{" aria-current=true" if code == self.language else ""}>'
            f"{NAMES[code]}</a>"
            for code in LANGUAGES
        )
        return f'<nav class="languages" aria-label="{self.say("entrance.language")}">{links}</nav>'


def own_path(text: str) -> str:
    """Return the path to go to after sign-in: the asked one if it is on this site, else the front page."""
    return text if _OWN_PATH.fullmatch(text) else "/"


def _field(name: str, label: str, kind: str, autocomplete: str, extra: str = "", *, hint: str = "") -> str:
    described = f' aria-describedby="{name}-hint"' if hint else ""
    return (
        f'<div class="field"><label for="{name}">{label}</label>'
        f'<input id="{name}" name="{name}" type="{kind}" autocomplete="{autocomplete}" required{described} {extra}>'
        + (f'<span id="{name}-hint" class="hint">{hint}</span>' if hint else "")
        + "</div>"
    )


@get("/login", include_in_schema=False, sync_to_thread=True)
def login(
    request: Request[Any, Any, Any], parts: Parts, language: LanguageQuery = "", next_path: NextQuery = ""
) -> Response[str]:
    """Ask who it is."""
    if isinstance(request.scope["state"].get("principal"), Principal):
        return _redirect(own_path(next_path))
    page = Page(request, parts, language)
    say = page.say
    hint = "" if users.is_set_up(parts.database) else f'<p class="notice">{say("entrance.not_set_up")}</p>'
    return page.respond(
        say("entrance.sign_in"),
        f"""<h1>{say("entrance.sign_in")}</h1>{hint}
<form data-action="login" data-next="{escape(own_path(next_path))}" data-unreachable="{say("entrance.unreachable")}"
 data-not-authenticated="{say("entrance.wrong")}" method="post">
{_field("email", say("entrance.email"), "email", "username", "autofocus")}
{_field("password", say("entrance.password"), "password", "current-password")}
<p id="message" class="notice bad" role="alert"></p>
<button class="button primary" type="submit" disabled>{say("entrance.sign_in")}</button>
</form><noscript><p class="notice bad">{say("entrance.no_script")}</p></noscript>""",
    )


@get("/setup", include_in_schema=False, sync_to_thread=True)
def set_up(request: Request[Any, Any, Any], parts: Parts, language: LanguageQuery = "") -> Response[str]:
    """Make the first administrator. The one-time token stays in the fragment, which browsers never send."""
    page = Page(request, parts, language)
    say = page.say
    if users.is_set_up(parts.database):
        body = (
            f"<h1>{say('setup.done_title')}</h1><p>{say('setup.done')}</p>"
            f'<div class="stack"><a class="button primary" href="/login">{say("entrance.sign_in")}</a></div>'
        )
        return page.respond(say("setup.done_title"), body)
    return page.respond(
        say("setup.title"), _account(page) + sheet(say, parts, users.DEFAULT_TENANT) + _own_host(page), is_wide=True
    )


def _account(page: Page) -> str:
    say = page.say
    options = "".join(
        f'<option value="{code}"{" selected" if code == page.language else ""}>{NAMES[code]}</option>'
        for code in LANGUAGES
    )
    length = f'minlength="{passwords.SHORTEST}" maxlength="{passwords.LONGEST}"'
    length_hint = say("setup.length", count=passwords.SHORTEST)
    return f"""<section id="account"><h1>{say("setup.title")}</h1><p>{say("setup.lead")}</p>
<form data-action="setup" data-unreachable="{say("entrance.unreachable")}" data-nolink="{say("setup.no_link")}"
 data-different="{say("setup.different")}" data-not-authenticated="{say("setup.old_link")}"
 data-token-spent="{say("setup.done")}" method="post">
{_field("email", say("entrance.email"), "email", "username", "autofocus maxlength=255")}
{_field("password", say("entrance.password"), "password", "new-password", length, hint=length_hint)}
{_field("again", say("setup.again"), "password", "new-password")}
<div class="field"><label for="language">{say("entrance.language")}</label>
<select id="language" name="language">{options}</select></div>
<p id="message" class="notice bad" role="alert"></p>
<button class="button primary" type="submit" disabled>{say("setup.create")}</button>
</form><noscript><p class="notice bad">{say("entrance.no_script")}</p></noscript></section>"""


def _own_host(page: Page) -> str:
    say = page.say
    return f"""<section id="own-host" hidden data-path="/api/v1/agents/protect-appliance">
<h1 id="own-title" tabindex="-1">{say("own.title")}</h1><p>{say("own.lead")}</p>
<div class="stack"><div id="own-work" hidden><p id="own-step" role="status" data-running="{say("own.running")}"
 data-done="{say("own.done")}" data-by-hand="{say("own.by_hand")}"></p>
<progress id="own-bar" max="100" aria-label="{say("own.running")}"></progress>
<code id="own-command" class="notice" hidden></code></div>
<p id="own-failed" class="notice bad" role="alert" data-more="{say("own.failed")}"></p>
<div class="row"><button id="own-begin" class="button primary" type="button">{say("own.begin")}</button>
<a id="own-later" class="button" href="/" data-done="{say("own.go_on")}">{say("own.later")}</a></div></div></section>"""


@get("/logout", include_in_schema=False, sync_to_thread=False)
def logout(request: Request[Any, Any, Any], parts: Parts, language: LanguageQuery = "") -> Response[str]:
    """Ask before ending a live session: a foreign page may link here. Without one, take the dead cookie away."""
    if not isinstance(request.scope["state"].get("principal"), Principal):
        return _redirect("/login", forget=True)
    page = Page(request, parts, language)
    title = page.say("action.sign_out")
    body = (
        f'<h1>{title}</h1><form method="post" action="/logout">'
        f'<button class="button primary" type="submit">{title}</button></form>'
    )
    return page.respond(title, body)


@post("/logout", include_in_schema=False, sync_to_thread=True, status_code=303)
def end_session(request: Request[Any, Any, Any], parts: Parts) -> Response[str]:
    """End the session. A request that another site made arrives here as nobody's."""
    principal = request.scope["state"].get("principal")
    if not isinstance(principal, Principal):
        return _redirect("/login")
    sessions.sign_out(parts.database, principal)
    return _redirect("/login", forget=True)


def _redirect(path: str, *, forget: bool = False) -> Response[str]:
    cookies = [session_cookie("", 0)] if forget else []
    return Redirect(path, status_code=303, cookies=cookies, headers=HEADERS)


ENTRANCE: list[Any] = [login, set_up, logout, end_session]
