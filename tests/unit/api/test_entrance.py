"""The page of set-up (entrance.js), run by node: a new recovery code never counts before it can be shown."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saveos.api.application import ASSETS

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the page has: one element that stands for all, and a form of set-up that was filled in.
PAGE = """
const events = [];
const part = { dataset: {}, elements: {}, classList: { add() {} }, addEventListener() {}, focus() {} };
let submit;
const page = {
  dataset: { action: "setup", unreachable: "unreachable" },
  getAttribute: () => null,
  querySelector: () => part,
  addEventListener: (_name, listener) => { submit = listener; },
};
globalThis.document = {
  querySelector: (selector) => (selector.startsWith("form") ? page : part),
  querySelectorAll: () => [],
};
globalThis.location = { hash: "#token", host: "here", pathname: "/setup", search: "", replace() {} };
globalThis.history = { replaceState() {} };
const typed = { email: "a@b", password: "p", again: "p" };
globalThis.FormData = class { *[Symbol.iterator]() { yield* Object.entries(typed); } };
globalThis.fetch = async (path) => { events.push(path); return { ok: true, json: async () => ({}) }; };
globalThis.shown = () => events.push("shown");
"""
KIT = "export const isAble = async () => true; export const makeKit = async () => ({ code: 'A-B', kit: {} });"
SHEET = "export async function showKit() { globalThis.shown(); }"
BROKEN_SHEET = "export async function showKit() { throw new Error('not drawn'); }"


def set_up(folder: Path, modules: Mapping[str, str]) -> dict[str, Any]:
    """Press the button of set-up; return what was called and shown, and what the page says then."""
    node = shutil.which("node")
    assert node
    source = (Path(ASSETS) / "entrance.js").read_text().replace('"/assets/', '"./')
    press = "await submit({ preventDefault() {} });"
    tell = "console.log(JSON.stringify({ events, said: part.textContent ?? '' }));"
    (folder / "page.mjs").write_text(f"{PAGE}{source}{press}{tell}")
    for name, text in modules.items():
        (folder / name).write_text(text)
    (folder / "package.json").write_text('{"type": "module"}')
    done = subprocess.run([node, folder / "page.mjs"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_code_is_shown_once_the_appliance_is_set_up(tmp_path: Path) -> None:
    told = set_up(tmp_path, {"kit.js": KIT, "kit-sheet.js": SHEET})

    assert ["/api/v1/setup", "shown", "/api/v1/session"] == told["events"]


def test_nothing_is_set_up_by_a_page_that_cannot_show_the_code(tmp_path: Path) -> None:
    told = set_up(tmp_path, {"kit.js": KIT})

    assert [] == told["events"]
    assert told["said"]


def test_code_that_could_not_be_shown_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    told = set_up(tmp_path, {"kit.js": KIT, "kit-sheet.js": BROKEN_SHEET})

    assert "not drawn" == told["said"]
    assert "/api/v1/session" not in told["events"]
