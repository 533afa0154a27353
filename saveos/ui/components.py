"""Small pieces of pages: native elements with our classes, changed only when what they show changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from saveos.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from saveos.ui.words import Words

COPY = """() => {
  const source = getHtmlElement(%d);
  navigator.clipboard.writeText(source.innerText.trim()).catch(() => getSelection().selectAllChildren(source));
}"""

# The browser draws all anew whenever anything changes, and would put back the value that it was last told: it is to
# know what has been typed. `element` is NiceGUI's record of this one.
TYPED = """(event) => {
  element.props.value = event.target.value;
  delete element.props["aria-invalid"];
  emit(event.target.value);
}"""


# A press of the same form as a moment ago says nothing new; one after something was typed does. Until the page has its
# line, each event waits by a clock of its own: a press has to wait longer, or it comes before what was typed.
ONCE = """(event) => {
  event.preventDefault();
  const form = event.target, now = Date.now();
  const said = JSON.stringify([...form.elements].map((field) => [field.value, field.checked]));
  if (said === form.saveosSaid && now - form.saveosAt < 1000) return;
  form.saveosSaid = said;
  form.saveosAt = now;
  const wait = () => setTimeout(window.did_handshake ? emit : wait, 100);
  window.did_handshake ? emit() : wait();
}"""


class Text(TextElement):
    """An element that holds nothing but text."""

    def show(self, text: str) -> None:
        """Show another text."""
        if self.text != text:
            self.set_text(text)


class Moment(Text):
    """A `<time>`: relative words, with the exact time in the reader's zone as its title."""

    def __init__(self, words: Words) -> None:
        """Show nothing yet."""
        super().__init__(tag="time", text="")
        self._words = words

    def tell(self, moment: datetime | None, otherwise: str = "") -> None:
        """Show a moment, or the words for having none."""
        self.show(self._words.ago(moment) if moment else otherwise)
        put(self, "datetime", to_text(moment) if moment else None)
        put(self, "title", self._words.exact(moment) if moment else None)


class Bar(Element):
    """A bar that moves: a known fraction, or the sign of work whose length is not known."""

    def __init__(self, label: str) -> None:
        """`label`: what is being done, for those who do not see it."""
        super().__init__(tag="div")
        self.classes("bar")
        self.props["role"] = "progressbar"
        self.props["aria-label"] = label
        self.props["aria-valuemin"], self.props["aria-valuemax"] = 0, 100
        self._percent: float | None = None
        with self:
            self._fill = element("div", "bar-fill unknown")

    def show(self, fraction: float | None) -> None:
        """Show 0 to 1; None: unknown."""
        percent = None if fraction is None else round(fraction * 100, 1)
        if percent == self._percent:
            return
        self._percent = percent
        put(self, "aria-valuenow", percent if percent is None else int(percent))
        self._fill.style(replace="" if percent is None else f"width:{percent}%")
        dress(self._fill, "bar-fill unknown" if percent is None else "bar-fill")


def put(target: Element, name: str, value: Any) -> None:
    """Set an attribute (None takes it away), telling the browser only of a change."""
    if value is None:
        if name in target.props:
            target.props.pop(name)
    elif target.props.get(name) != value:
        target.props[name] = value


def dress(target: Element, classes: str) -> None:
    """Set all classes, telling the browser only of a change."""
    if " ".join(target.classes) != classes:
        target.classes(replace=classes)


def element(tag: str, classes: str = "", **attributes: Any) -> Element:
    """Return a native element; `aria_label` becomes aria-label."""
    made = Element(tag)
    _attribute(made, classes, attributes)
    return made


def text(tag: str, words: str = "", classes: str = "", **attributes: Any) -> Text:
    """Return a native element with text."""
    made = Text(tag=tag, text=words)
    _attribute(made, classes, attributes)
    return made


def link(words: str, target: str, classes: str = "", **attributes: Any) -> Text:
    """Return a link."""
    return text("a", words, classes, href=target, **attributes)


def button(label: str, action: Callable[..., Any] | None = None, classes: str = "", **attributes: Any) -> Text:
    """Return a native button."""
    made = text("button", label, f"button {classes}".strip(), type="button", **attributes)
    if action is not None:
        made.on("click", action, [])
    return made


def on_submit(form: Element, action: Callable[..., Any]) -> None:
    """Hear that a form is sent. The same once more within a second is one press, which a slow line brings twice."""
    form.on("submit.prevent", action, [], js_handler=ONCE)


def copy_button(label: str, source: Element, on_copied: Callable[[], Any]) -> Text:
    """Return a button that copies the text of another element, inside the browser."""
    made = text("button", label, "button small", type="button")
    made.on("click", js_handler=COPY % source.id)
    made.on("click", on_copied, [])
    return made


def dialog(title: str, close_label: str) -> tuple[ui.dialog, Element]:
    """Return a dialog with its title and a button that closes it, and the element to fill."""
    opened = ui.dialog()
    opened.props["aria-label"] = title
    with opened, element("div", "dialog"):
        with element("div", "dialog-head"):
            text("h2", title)
            button("✕", opened.close, "quiet small", aria_label=close_label)
        body = element("div", "dialog-body")
    return opened, body


def radios(name: str, options: dict[str, str], value: str, on_change: Callable[[str], Any]) -> dict[str, Element]:
    """Return native radio buttons, with labels, one per option."""
    made = {}
    for key, label in options.items():
        with element("label", "choice"):
            box = element("input", type="radio", name=name, value=key)
            if key == value:
                box.props["checked"] = True
            box.on("change", lambda _event, key=key: on_change(key))
            text("span", label)
        made[key] = box
    return made


class Field:
    """A labelled native input or textarea; `value` is what stands in it."""

    def __init__(self, label: str, *, value: str = "", hint: str = "", tag: str = "input", **attributes: Any) -> None:
        """Show it with that value."""
        self.value = value
        self.box = element("div", "field")
        with self.box:
            caption = text("label", label)
            self._input = element(tag, **({"type": "text"} if tag == "input" else {}) | attributes)
            self._input.props["id"] = self._input.html_id
            self._input.props["value"] = value
            caption.props["for"] = self._input.html_id
            if hint:
                described = text("span", hint, "hint")
                described.props["id"] = described.html_id
                self._input.props["aria-describedby"] = described.html_id
            self.error = text("span", "", "field-error", role="alert")
        self._input.on("input", self._take, js_handler=TYPED)

    def _take(self, event: Any) -> None:
        self.value = str(event.args)[:100_000]
        with self._input.props.suspend_updates():  # the browser knows; an echo would run after the typing
            self._input.props["value"] = self.value
            self._input.props.pop("aria-invalid", None)
        self.error.show("")

    @property
    def input(self) -> Element:
        """The native element."""
        return self._input

    def put(self, value: str) -> None:
        """Let another value stand in it."""
        self.value = value
        put(self._input, "value", value)

    def on_enter(self, action: Callable[..., Any]) -> None:
        """Run `action` when Enter is pressed."""
        self._input.on("keydown.enter", action, [])

    def on_commit(self, action: Callable[..., Any]) -> None:
        """Run `action` when the field is left, or Enter pressed, with another value than before."""
        self._input.on("change", action, [])

    def on_change(self, action: Callable[..., Any]) -> None:
        """Run `action` after each change of the value."""
        self._input.on("input", action, [])


class Select:
    """A labelled native list to choose from; `value` is the chosen key."""

    def __init__(
        self,
        label: str,
        options: dict[str, str],
        value: str,
        on_change: Callable[[], Any] | None = None,
        *,
        is_label_hidden: bool = False,
    ) -> None:
        """`options`: what is shown for each key."""
        self.value = value
        self._keys = set(options)
        self.box = element("div", "field")
        with self.box:
            caption = text("label", label, "hidden-label" if is_label_hidden else "")
            self._select = element("select")
            self._select.props["id"] = self._select.html_id
            self._select.props["value"] = value
            caption.props["for"] = self._select.html_id
            with self._select:
                for key, shown in options.items():
                    choice = text("option", shown, value=key)
                    if key == value:
                        choice.props["selected"] = True
        self._select.on("change", self._take, js_handler=TYPED)
        if on_change is not None:
            self._select.on("change", on_change, [])

    def _take(self, event: Any) -> None:
        if event.args in self._keys:
            self.value = str(event.args)
            with self._select.props.suspend_updates():
                self._select.props["value"] = self.value


def _attribute(made: Element, classes: str, attributes: dict[str, Any]) -> None:
    if classes:
        made.classes(classes)
    for name, value in attributes.items():
        made.props[name.rstrip("_").replace("_", "-")] = value
