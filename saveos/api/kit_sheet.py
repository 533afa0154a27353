"""The sheet of a recovery kit: what is printed and kept. The browser puts in the code and its QR (kit-sheet.js)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.parts import Parts

STEPS = ("kit.step_export", "kit.step_list", "kit.step_extract", "kit.step_import")
COMMANDS = (
    "saveos key export HOST --output KEYFILE",
    "export BORG_PASSPHRASE=…; borg list FOLDER",
    "borg extract FOLDER::ARCHIVE",
    "borg key import FOLDER KEYFILE",
)


def sheet(say: Callable[..., str], parts: Parts, tenant: str) -> str:
    """Return the HTML of the sheet; `say` gives sentences that may stand in HTML."""
    facts = {
        "kit.appliance": ", ".join(parts.addresses[:3]),
        "kit.fingerprint": parts.authority.fingerprint,
        "kit.tenant": tenant,
        "kit.date": f"{clock.now():%Y-%m-%d}",
    }
    rows = "".join(f"<dt>{say(key)}</dt><dd>{say('kit.as_it_is', text=text)}</dd>" for key, text in facts.items())
    steps = "".join(f"<li>{say(key)} <code>{command}</code></li>" for key, command in zip(STEPS, COMMANDS, strict=True))
    return f"""<section id="recovery" class="kit" hidden>
<h1 id="recovery-title" tabindex="-1">{say("setup.recovery_title")}</h1>
<p>{say("setup.recovery_lead")}</p>
<p id="made-here" class="notice no-print" hidden>{say("kit.made_here")}</p>
<p id="made-there" class="notice no-print" hidden>{say("kit.made_there")}</p>
<div class="stack"><div class="kit-code"><div id="code" class="code" translate="no" role="group"
 aria-label="{say("setup.recovery_title")}"></div><svg id="qr" role="img" aria-label="{say("kit.qr")}"></svg></div>
<p id="whose" class="muted"></p><dl class="kit-facts">{rows}</dl>
<div class="row no-print"><button id="copy" class="button" type="button">{say("action.copy")}</button>
<button id="print" class="button" type="button">{say("setup.print")}</button>
<span id="copied" class="muted" role="status" data-done="{say("action.copied")}"
 data-selected="{say("setup.selected")}"></span></div>
<p class="notice">{say("setup.recovery_warning")}</p>
<details class="kit-how"><summary>{say("kit.how")}</summary><p>{say("kit.how_lead")}</p><ol>{steps}</ol>
<p>{say("kit.more")}</p></details>
<label class="tick no-print"><input id="stored" type="checkbox"><span>{say("setup.stored")}</span></label>
<button id="continue" class="button primary no-print" type="button" disabled>{say("setup.continue")}</button>
</div></section>"""
