"""Holds and the retention of a host by REST and on the command line: who may what, and that it takes two."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.appliance import EMAIL, PASSWORD, Answer, Appliance
from tests.support.big_fleet import plant

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND, THIRD = "second@example.org", "third@example.org"


class Court:
    """A serving appliance with a host of some snapshots, and people by role."""

    def __init__(self, appliance: Appliance) -> None:
        self.appliance = appliance
        self.tokens = {"administrator": appliance.token}
        plant(appliance.data / "saveos.db", 1, 40)
        with contextlib.closing(sqlite3.connect(appliance.data / "saveos.db")) as connection:
            rows = connection.execute("SELECT id, agent_id FROM snapshots ORDER BY started_at DESC").fetchall()
        self.snapshots, self.agent = [row[0] for row in rows], rows[0][1]
        for email, role in ((SECOND, "administrator"), (THIRD, "operator"), ("viewer@example.org", "viewer")):
            self.tokens[email if role == "administrator" else role] = self._person(email, role)

    def _person(self, email: str, role: str) -> str:
        self.appliance.cli("admin", "create", email, "--password-stdin", stdin=f"{PASSWORD}\n").check_returncode()
        made = json.loads(self.appliance.cli("token", "create", email, "--name", "tests").stdout)
        with contextlib.closing(sqlite3.connect(self.appliance.data / "saveos.db")) as connection, connection:
            connection.execute("UPDATE users SET role = ? WHERE email = ?", (role, email))
        return str(made["token"])

    def call(self, who: str, method: str, path: str, body: Any = None) -> Answer:
        return self.appliance.call(method, f"/api/v1{path}", body, token=self.tokens[who])

    def audited(self, snapshot_id: str) -> list[tuple[str, str]]:
        with contextlib.closing(sqlite3.connect(self.appliance.data / "saveos.db")) as connection:
            return connection.execute(
                "SELECT action, actor FROM audit WHERE target = ? ORDER BY id", (snapshot_id,)
            ).fetchall()


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    with Appliance.started(tmp_path_factory.mktemp("court")) as started:
        started.set_up()
        yield Court(started)


def place(court: Court, snapshot: str, **more: Any) -> dict[str, Any]:
    path = f"/snapshots/{snapshot}/holds"
    made: dict[str, Any] = court.call("administrator", "POST", path, {"reason": "Case 4711", **more}).expect(201)
    return made


def test_operator_pins_and_viewer_sees(court: Court) -> None:
    path = f"/snapshots/{court.snapshots[-1]}"

    pinned = court.call("operator", "PUT", f"{path}/pin", {"reason": "before the move"}).expect(200)

    assert pinned == court.call("operator", "PUT", f"{path}/pin", {}).expect(200)
    assert [pinned] == court.call("viewer", "GET", f"{path}/holds").expect(200)["items"]
    listed = court.call("viewer", "GET", "/snapshots").expect(200)["snapshots"]
    assert [["pin"]] == [item["holds"] for item in listed if item["id"] == court.snapshots[-1]]
    held = court.call("viewer", "GET", "/snapshots?is_held=true").expect(200)
    assert (1, [court.snapshots[-1]]) == (held["total"], [item["id"] for item in held["snapshots"]])
    for method, body in (("PUT", {}), ("DELETE", None)):
        refused = court.call("viewer", method, f"{path}/pin", body)
        assert (403, "not-allowed") == (refused.status, refused.body["code"])
    assert court.call("operator", "DELETE", f"{path}/pin").expect(200)["released_at"]
    assert 409 == court.call("operator", "DELETE", f"{path}/pin").status


def test_snapshots_are_found_by_how_they_stand(court: Court) -> None:
    with contextlib.closing(sqlite3.connect(court.appliance.data / "saveos.db")) as connection, connection:
        connection.execute("UPDATE snapshots SET standing = 'suspect' WHERE id = ?", (court.snapshots[5],))

    suspect = court.call("viewer", "GET", "/snapshots?standing=suspect").expect(200)
    good = court.call("viewer", "GET", "/snapshots?standing=good").expect(200)

    assert [court.snapshots[5]] == [item["id"] for item in suspect["snapshots"]]
    assert len(court.snapshots) - 1 == good["total"]
    assert 400 == court.call("viewer", "GET", "/snapshots?standing=odd").status


def test_legal_hold_is_not_an_operators_and_needs_reason_and_future(court: Court) -> None:
    path = f"/snapshots/{court.snapshots[-2]}/holds"

    for who in ("operator", "viewer"):
        assert 403 == court.call(who, "POST", path, {"reason": "Case 4711"}).status
    for body, field in (
        ({"reason": " "}, "reason"),
        ({"reason": "Case 4711", "until": "2019-01-31T00:00:00Z"}, "until"),
        ({"reason": "Case 4711", "until": "2019-01-31T00:00:00"}, "until"),
    ):
        answer = court.call("administrator", "POST", path, body)
        assert (400, [{"field": field}]) == (answer.status, answer.body["fields"])
    assert 400 == court.call("administrator", "POST", path, {"reason": "x" * 1001}).status
    assert 404 == court.call("administrator", "POST", "/snapshots/snp_none/holds", {"reason": "x"}).status
    assert [] == court.call("viewer", "GET", path).expect(200)["items"]


def test_legal_hold_is_ended_by_two_administrators_each_step_audited(court: Court) -> None:
    snapshot = court.snapshots[-3]
    hold = place(court, snapshot, until="2099-01-31T12:00:00+02:00")
    path = f"/snapshots/{snapshot}/holds/{hold['id']}/release"

    assert "2099-01-31T10:00:00Z" == hold["until"]
    assert 403 == court.call("operator", "POST", path).status
    assert 409 == court.call(SECOND, "POST", f"{path}/confirm").status
    court.call("administrator", "POST", path).expect(200)
    own = court.call("administrator", "POST", f"{path}/confirm")
    assert (409, "second-person-needed") == (own.status, own.body["code"])
    assert 403 == court.call("operator", "POST", f"{path}/confirm").status
    court.call("administrator", "DELETE", path).expect(200)
    assert 409 == court.call(SECOND, "POST", f"{path}/confirm").status
    court.call("administrator", "POST", path).expect(200)
    assert [hold["id"]] == [item["id"] for item in court.call("viewer", "GET", "/holds").expect(200)["items"]]
    ended = court.call(SECOND, "POST", f"{path}/confirm").expect(200)

    assert (f"user:{EMAIL}", f"user:{SECOND}") == (ended["release_asked_by"], ended["released_by"])
    assert [] == court.call("viewer", "GET", f"/holds?agent_id={court.agent}").expect(200)["items"]
    assert [
        ("hold-placed", f"user:{EMAIL}"),
        ("hold-release-asked", f"user:{EMAIL}"),
        ("hold-release-withdrawn", f"user:{EMAIL}"),
        ("hold-release-asked", f"user:{EMAIL}"),
        ("hold-released", f"user:{SECOND}"),
    ] == court.audited(snapshot)


def test_retention_of_a_host_tells_what_goes_and_what_keeps_the_rest(court: Court) -> None:
    old = court.snapshots[-1]
    court.call("operator", "PUT", f"/snapshots/{old}/pin", {}).expect(200)
    path = f"/agents/{court.agent}/retention"

    told = court.call("viewer", "GET", path).expect(200)

    assert (40, 40) == (told["kept_count"] + told["going_count"], len(told["items"]))
    assert ["daily"] * 7 == [item["rule"] for item in told["items"] if item["rule"]][:7]  # two may be of one day
    assert told["items"][0]["is_last"]
    last = told["items"][-1]
    assert (old, ["pin"], False) == (last["snapshot_id"], last["holds"], last["is_going"])
    going = court.call("viewer", "GET", f"{path}?only=going&limit=5&offset=1").expect(200)
    assert [item for item in told["items"] if item["is_going"]][1:6] == going["items"]
    assert told["going_count"] == going["going_count"]
    assert 404 == court.call("viewer", "GET", "/agents/agt_none/retention").status
    assert 400 == court.call("viewer", "GET", f"{path}?only=some").status
    court.call("operator", "DELETE", f"/snapshots/{old}/pin").expect(200)


def test_command_line_pins_tells_and_asks_two_persons_for_their_passwords(court: Court) -> None:
    appliance, snapshot = court.appliance, court.snapshots[-4]

    def run(*words: str, stdin: str = "", code: int = 0) -> Any:
        done = appliance.cli(*words, stdin=stdin)
        assert code == done.returncode, done.stderr
        return json.loads(done.stdout)

    assert "pin" == run("snapshot", "pin", snapshot, "--reason", "before the move")["kind"]
    assert [False] == [
        item["is_going"] for item in run("retention", "show", court.agent)["items"] if item["snapshot_id"] == snapshot
    ]
    assert run("snapshot", "unpin", snapshot)["released_at"]
    hold = run("snapshot", "hold", snapshot, "--reason", "Case 4711", "--until", "2099-01-31")
    assert datetime(2099, 2, 1).astimezone() == datetime.fromisoformat(hold["until"])
    held_today = run("snapshot", "hold", snapshot, "--reason", "Today", "--until", f"{date.today()}")  # noqa: DTZ011
    assert held_today["until"]
    release = ("snapshot", "release", snapshot, hold["id"])
    assert "not-allowed" == run(*release, code=1)["error"]["code"]
    assert "not-authenticated" == run(*release, "--as", EMAIL, stdin="wrong\n", code=1)["error"]["code"]
    assert run(*release, "--as", EMAIL, stdin=f"{PASSWORD}\n")["release_asked_at"]
    alone = run(*release, "--as", EMAIL, "--confirm", stdin=f"{PASSWORD}\n", code=1)
    assert "second-person-needed" == alone["error"]["code"]
    assert run(*release, "--as", SECOND, "--confirm", stdin=f"{PASSWORD}\n")["released_at"]
    assert ["legal", "legal", "pin"] == [item["kind"] for item in run("snapshot", "holds", snapshot)]
