"""One's own account by the API: password, preferences, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.appliance import EMAIL, PASSWORD, Appliance

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW = "another long sentence"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("profile")) as appliance:
        appliance.set_up()
        yield appliance


def sign_in(appliance: Appliance, password: str = PASSWORD) -> dict[str, str]:
    answer = appliance.call("POST", "/api/v1/session", {"email": EMAIL, "password": password}, token="")
    answer.expect(201)
    return {"cookie": answer.headers["set-cookie"].split(";")[0]}


def test_preferences_keep_the_zone_unless_another_is_named(appliance: Appliance) -> None:
    liked = {"language": "fr", "theme": "dark", "time_zone": "Europe/Paris"}
    appliance.call("PUT", "/api/v1/session/preferences", liked).expect(204)
    appliance.call("PUT", "/api/v1/session/preferences", {"language": "en"}).expect(204)

    me = appliance.call("GET", "/api/v1/session").expect(200)

    assert ("en", "system", "Europe/Paris") == (me["language"], me["theme"], me["time_zone"])
    refused = appliance.call("PUT", "/api/v1/session/preferences", {"time_zone": "Mars/Olympus"})
    assert (400, "invalid-request") == (refused.status, refused.body["code"])


def test_sessions_name_browsers_and_end_one_by_one_or_all(appliance: Appliance) -> None:
    own, second, third = sign_in(appliance), sign_in(appliance), sign_in(appliance)
    listed = appliance.call("GET", "/api/v1/sessions", headers=own, token="").expect(200)["items"]
    assert [True, False] == [session["is_own"] for session in listed][:2]
    newest = listed[1]["id"]  # the third's

    appliance.call("DELETE", f"/api/v1/sessions/{newest}", headers=own, token="").expect(204)

    statuses = [appliance.call("GET", "/api/v1/session", headers=who, token="").status for who in (own, second, third)]
    assert [200, 200, 401] == statuses
    assert 404 == appliance.call("DELETE", f"/api/v1/sessions/{newest}", headers=own, token="").status
    assert 404 == appliance.call("DELETE", "/api/v1/sessions/a", headers=own, token="").status
    ended = appliance.call("DELETE", "/api/v1/sessions", headers=own, token="").expect(200)
    assert ended["sessions_count"] >= 1
    assert 401 == appliance.call("GET", "/api/v1/session", headers=second, token="").status
    assert 200 == appliance.call("GET", "/api/v1/session", headers=own, token="").status


def test_password_changes_once_the_current_one_is_told_and_guessing_is_slowed(appliance: Appliance) -> None:
    own, other = sign_in(appliance), sign_in(appliance)
    path, right = "/api/v1/session/password", {"current_password": PASSWORD, "new_password": NEW}
    short = appliance.call("PUT", path, {**right, "new_password": "short"}, headers=own, token="")
    assert (400, "invalid-request") == (short.status, short.body["code"])

    assert 1 <= appliance.call("PUT", path, right, headers=own, token="").expect(200)["sessions_count"]

    assert 401 == appliance.call("GET", "/api/v1/session", headers=other, token="").status
    appliance.call("GET", "/api/v1/session", headers=own, token="").expect(200)
    appliance.call("GET", "/api/v1/session").expect(200)  # the API token stays
    sign_in(appliance, NEW)
    guesses = [appliance.call("PUT", path, right, headers=own, token="").status for _ in range(7)]
    assert (400, 429) == (guesses[0], guesses[-1])
