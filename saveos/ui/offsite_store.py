"""The store of offsite copies: the form that chooses it, the test that says what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos.database.secrets import Secret
from saveos.errors import InvalidRequest
from saveos.offsite import stores
from saveos.offsite.model import LockMode, Place
from saveos.ui import components, offsite_words
from saveos.ui.offsite_prices import PriceFields
from saveos.ui.offsite_rate import RateFields, whole

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.offsite.model import ProbeReport, Store
    from saveos.ui.frame import Visit

WRONG = {
    "endpoint": "offsite.wrong_endpoint",
    "bucket": "offsite.wrong_bucket",
    "prefix": "offsite.wrong_prefix",
    "region": "offsite.wrong_region",
    "access_key_id": "offsite.wrong_key",
    "secret": "offsite.wrong_secret",
    "storage_class": "offsite.wrong_storage_class",
    "ca_pem": "offsite.wrong_ca",
    "keep_days": "offsite.wrong_days",
    "limit": "quota.wrong",
    "other_limit": "quota.wrong",
    "from_hour": "offsite.wrong_hour",
    "until_hour": "offsite.wrong_hour",
    "prices": "offsite.wrong_prices",
}
DAYS = 3650


class StoreForm:
    """The form; `on_change` hears that the store is another."""

    def __init__(self, visit: Visit, on_change: Callable[[], Awaitable[None]]) -> None:
        """Nothing is drawn yet."""
        self._visit, self._on_change, self._lock = visit, on_change, LockMode.OFF
        self._is_path_style = self._is_enabled = True

    def draw(self, store: Store | None) -> None:
        """Draw it with what is kept; of the secret nothing is shown."""
        visit, say = self._visit, self._visit.say
        place = store.place if store else Place(endpoint="", bucket="", access_key_id="")
        self._lock, self._is_path_style, self._is_enabled = place.lock_mode, place.is_path_style, place.is_enabled
        form = components.element("form", "store-form", novalidate=True)
        components.on_submit(form, visit.doing(self._save))
        with form:
            self._draw_where(place, is_new=store is None)
            self._draw_lock(place)
            with components.element("details") as self._more:
                components.text("summary", say("offsite.more"))
                self._draw_more(place)
            if store is not None:
                self._check(say("offsite.enabled"), "_is_enabled")
            with components.element("div", "row"):
                components.text("button", say("offsite.save"), "button primary", type="submit")
                self._test = components.button(say("offsite.test"), visit.doing(self._try))
                if store is not None:
                    self._draw_forget()
        self._result = components.element("div", "tried", aria_live="polite")

    def _draw_where(self, place: Place, *, is_new: bool) -> None:
        say = self._visit.say
        quiet: dict[str, Any] = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}
        with components.element("div", "fields"):
            self._endpoint = components.Field(
                say("offsite.endpoint"), value=place.endpoint, hint=say("offsite.endpoint_hint"), maxlength=255, **quiet
            )
            self._bucket = components.Field(say("offsite.bucket"), value=place.bucket, maxlength=63, **quiet)
            self._prefix = components.Field(
                say("offsite.prefix"), value=place.prefix, hint=say("offsite.prefix_hint"), maxlength=200, **quiet
            )
            self._region = components.Field(say("offsite.region"), value=place.region, maxlength=64, **quiet)
            self._key = components.Field(say("offsite.key"), value=place.access_key_id, maxlength=255, **quiet)
            self._secret = components.Field(
                say("offsite.secret"),
                hint="" if is_new else say("offsite.secret_hint"),
                type="password",
                autocomplete="new-password",
                maxlength=1024,
            )

    def _draw_lock(self, place: Place) -> None:
        say = self._visit.say
        with components.element("fieldset", "choices"):
            components.text("legend", say("offsite.lock"))
            options = {mode.value: say(sentence) for mode, sentence in offsite_words.LOCKS.items()}
            components.radios("lock", options, place.lock_mode.value, self._take_lock)
        self._days = components.Field(
            say("offsite.keep_days"),
            value=str(place.keep_days or ""),
            hint=say("offsite.keep_days_hint"),
            inputmode="numeric",
            autocomplete="off",
            maxlength=4,
        )

    def _draw_more(self, place: Place) -> None:
        say = self._visit.say
        with components.element("div", "fields"):
            self._rate = RateFields(self._visit, place.rate)
            self._class = components.Field(
                say("offsite.storage_class"), value=place.storage_class, hint=say("offsite.storage_class_hint")
            )
        self._check(say("offsite.path_style"), "_is_path_style")
        self._ca = components.Field(
            say("offsite.ca"),
            value=place.ca_pem,
            hint=say("offsite.ca_hint"),
            tag="textarea",
            rows=4,
            spellcheck="false",
        )
        self._prices = PriceFields(self._visit, place.prices)

    def _draw_forget(self) -> None:
        visit, say = self._visit, self._visit.say
        opener = components.button(say("offsite.forget"), None, "danger")
        dialog, body = components.dialog(say("offsite.forget"), say("action.close"))
        opener.on("click", dialog.open, [])

        async def go() -> None:
            await visit.change(stores.forget_store)
            dialog.close()
            visit.notify(say("offsite.forgotten"))
            await self._on_change()

        with body:
            components.text("p", say("offsite.forget_more"))
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), dialog.close)
                components.button(say("offsite.forget"), visit.doing(go), "primary danger")

    def _check(self, label: str, name: str) -> None:
        with components.element("label", "choice"):
            box = components.element("input", type="checkbox")
            if getattr(self, name):
                box.props["checked"] = True
            box.on(
                "change",
                lambda event: setattr(self, name, bool(event.args)),
                js_handler="(event) => emit(event.target.checked)",
            )
            components.text("span", label)

    def _take_lock(self, value: str) -> None:
        self._lock = LockMode(value)

    def _place(self) -> Place:
        """Return what is typed. Raises InvalidRequest, naming the field."""
        return Place(
            endpoint=self._endpoint.value,
            bucket=self._bucket.value.strip(),
            access_key_id=self._key.value.strip(),
            region=self._region.value.strip(),
            prefix=self._prefix.value,
            is_path_style=self._is_path_style,
            storage_class=self._class.value.strip(),
            ca_pem=self._ca.value,
            lock_mode=self._lock,
            keep_days=whole(self._days.value, "keep_days", DAYS),
            rate=self._rate.value(),
            prices=self._prices.value(),
            is_enabled=self._is_enabled,
        )

    def _typed_secret(self) -> Secret | None:
        return Secret(self._secret.value) if self._secret.value else None

    async def _save(self) -> None:
        self._clear()
        settings = self._visit.parts.settings

        def keep(database: Database, principal: Principal, place: Place, secret: Secret | None) -> Store:
            return stores.keep_store(database, settings, principal, place, secret)

        try:
            await self._visit.change(keep, self._place(), self._typed_secret())
        except InvalidRequest as error:
            self._point_out(error)
            return
        self._visit.notify(self._visit.say("offsite.kept"))
        await self._on_change()

    async def _try(self) -> None:
        self._clear()
        settings = self._visit.parts.settings

        def probe(database: Database, principal: Principal, place: Place, secret: Secret | None) -> ProbeReport:
            return stores.try_place(database, settings, principal, place, secret)

        try:
            place = self._place()
            components.put(self._test, "disabled", "disabled")
            with self._result:
                components.text("p", self._visit.say("offsite.testing"), "muted")
            report = await self._visit.ask(probe, place, self._typed_secret())
        except InvalidRequest as error:
            self._result.clear()
            self._point_out(error)
            return
        finally:
            components.put(self._test, "disabled", None)
        self._result.clear()
        with self._result:
            offsite_words.draw_report(self._visit, report)

    def _fields(self) -> dict[str, components.Field]:
        return {
            "endpoint": self._endpoint,
            "bucket": self._bucket,
            "prefix": self._prefix,
            "region": self._region,
            "access_key_id": self._key,
            "secret": self._secret,
            "storage_class": self._class,
            "ca_pem": self._ca,
            "keep_days": self._days,
            **self._rate.fields,
            "prices": self._prices.currency,
        }

    def _clear(self) -> None:
        self._result.clear()
        for field in self._fields().values():
            field.error.show("")
            components.put(field.input, "aria-invalid", None)

    def _point_out(self, error: InvalidRequest) -> None:
        name = str(error.context.get("field", ""))
        field = self._fields().get(name)
        if field is None:
            self._visit.notify(self._visit.words.problem(error.code, error.message), is_bad=True)
            return
        field.error.show(self._visit.say(WRONG[name]))
        if self._more in field.box.ancestors():
            components.put(self._more, "open", "open")
        components.put(field.input, "aria-invalid", "true")
