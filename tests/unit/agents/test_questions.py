"""Questions to hosts: who may ask, who may answer, and when it is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos import clock
from saveos.agents import questions
from saveos.agents.model import AgentIdentity, AgentState, AskedRow, QuestionState
from saveos.database.connection import Database
from saveos.database.migrations import migrate
from saveos.errors import Conflict, HostOffline, InvalidRequest, NotAllowed, NotFound, TooMany
from saveos.identity.principals import Actor, Principal, Role, system
from saveos.protocol import (
    AgentId,
    Answer,
    ExcludesTried,
    FolderEntry,
    FolderListing,
    ListFolder,
    QuestionId,
    TenantId,
    TryExcludes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
OURS, THEIRS = TenantId("tnt_1"), TenantId("tnt_2")
US, OTHERS = system(OURS), system(THEIRS)
AGENT = (
    "INSERT INTO agents (id, tenant_id, hostname, platform, state, policy_id, enrolled_at, seen_at)"
    " VALUES (?, ?, ?, 'linux', 'ready', 'pol_1', ?, ?)"
)
LISTED = Answer(folder=FolderListing(path="/", entries=(FolderEntry(name="etc"),)))


@pytest.fixture
def now() -> Iterator[list[datetime]]:
    current = [NOW]
    clock.set_source(lambda: current[0])
    yield current
    clock.set_source(None)


@pytest.fixture
def database(tmp_path: Path, now: list[datetime]) -> Iterator[Database]:
    """Two tenants; the first has hosts a and b, both online."""
    migrate(tmp_path / "saveos.db")
    opened = Database(tmp_path / "saveos.db")
    seen = clock.to_text(now[0])
    rows: dict[str, list[tuple[str, ...]]] = {
        "INSERT INTO tenants (id, name, created_at) VALUES (?, ?, ?)": [(OURS, "ours", seen), (THEIRS, "theirs", seen)],
        "INSERT INTO policies (id, tenant_id, name, sources_json, excludes_json, schedule, retention_json, compression,"
        " is_default, created_at) VALUES ('pol_1', ?, 'Default', '[]', '[]', '0 2 * * *', '{}', 'lz4', 1, ?)": [
            (OURS, seen)
        ],
        AGENT: [("agt_a", OURS, "a", seen, seen), ("agt_b", OURS, "b", seen, seen)],
    }
    for statement, values in rows.items():
        opened.write(lambda connection, sql=statement, values=values: connection.executemany(sql, values))
    yield opened
    opened.close()


def identity(agent_id: str = "agt_a") -> AgentIdentity:
    return AgentIdentity(
        agent_id=AgentId(agent_id),
        tenant_id=OURS,
        hostname="a",
        serial="",
        is_renewal_due=False,
        state=AgentState.READY,
    )


def ask(database: Database, question: ListFolder | TryExcludes | None = None) -> QuestionId:
    return questions.ask(database, US, "agt_a", question or ListFolder(path="/"))


def take(database: Database, agent_id: str = "agt_a") -> list[QuestionId]:
    taken = database.write(lambda connection: questions.take(connection, identity(agent_id)))
    return [question.question_id for question in taken]


def answer(database: Database, question_id: str, said: Answer = LISTED, agent_id: str = "agt_a") -> bool:
    return database.write(lambda connection: questions.record_answer(connection, identity(agent_id), question_id, said))


def state(database: Database, question_id: str) -> QuestionState:
    return questions.answer_of(database, US, question_id).state


def test_question_is_handed_out_once_and_its_answer_shown(database: Database) -> None:
    question_id = ask(database)
    waiting = state(database, question_id)

    taken = [take(database), take(database)]
    answering = state(database, question_id)
    go_on = answer(database, question_id)

    asked = questions.answer_of(database, US, question_id)
    assert [[question_id], []] == taken
    assert ["waiting", "answering", "answered"] == [waiting, answering, asked.state]
    assert (False, LISTED) == (go_on, asked.answer)


def test_counts_so_far_are_shown_until_the_last(database: Database) -> None:
    question_id = ask(database, TryExcludes(excludes=("*.iso",)))
    take(database)

    first = answer(database, question_id, Answer(excludes=ExcludesTried(files_count=5)))
    shown = questions.answer_of(database, US, question_id)
    last = answer(database, question_id, Answer(excludes=ExcludesTried(files_count=9, is_final=True)))
    late = answer(database, question_id, Answer(excludes=ExcludesTried(files_count=1)))

    kept = questions.answer_of(database, US, question_id).answer
    assert ("answering", 5) == (
        shown.state,
        shown.answer and shown.answer.excludes and shown.answer.excludes.files_count,
    )
    assert [True, False, False] == [first, last, late]
    assert kept is not None
    assert kept.excludes == ExcludesTried(files_count=9, is_final=True)


def test_viewer_may_neither_ask_nor_read_nor_withdraw(database: Database) -> None:
    question_id = ask(database)
    viewer = Principal(actor=Actor.USER, id="usr_1", tenant_id=OURS, role=Role.VIEWER)

    for verb in (
        lambda: questions.ask(database, viewer, "agt_a", ListFolder()),
        lambda: questions.answer_of(database, viewer, question_id),
        lambda: questions.withdraw(database, viewer, question_id),
    ):
        with pytest.raises(NotAllowed):
            verb()


def test_other_tenant_knows_neither_host_nor_question(database: Database) -> None:
    question_id = ask(database)

    for verb in (
        lambda: questions.ask(database, OTHERS, "agt_a", ListFolder()),
        lambda: questions.answer_of(database, OTHERS, question_id),
        lambda: questions.withdraw(database, OTHERS, question_id),
    ):
        with pytest.raises(NotFound):
            verb()


def test_question_of_another_host_is_neither_heard_nor_answered(database: Database) -> None:
    question_id = ask(database)

    assert [] == take(database, "agt_b")
    take(database)
    with pytest.raises(NotFound):
        answer(database, question_id, agent_id="agt_b")


def test_answer_to_a_question_that_was_not_handed_out_is_refused(database: Database) -> None:
    question_id = ask(database)

    with pytest.raises(NotFound):
        answer(database, question_id)


@pytest.mark.parametrize(
    "said",
    [
        Answer(),
        Answer(excludes=ExcludesTried(is_final=True)),
        Answer(folder=FolderListing(), excludes=ExcludesTried(is_final=True)),
        Answer(folder=FolderListing(entries=(FolderEntry(name="n" * 2000),) * 600)),
    ],
    ids=["nothing", "something else", "both", "too large"],
)
def test_answer_that_does_not_fit_is_refused(database: Database, said: Answer) -> None:
    question_id = ask(database)
    take(database)

    with pytest.raises(InvalidRequest):
        answer(database, question_id, said)

    assert "answering" == state(database, question_id)


def test_withdrawn_question_is_not_handed_out(database: Database) -> None:
    question_id = ask(database)

    questions.withdraw(database, US, question_id)

    assert ([], "withdrawn") == (take(database), state(database, question_id))


def test_withdrawal_reaches_the_host_with_its_next_answer(database: Database) -> None:
    question_id = ask(database, TryExcludes())
    take(database)

    questions.withdraw(database, US, question_id)
    questions.withdraw(database, US, question_id)

    assert not answer(database, question_id, Answer(excludes=ExcludesTried(files_count=5)))
    assert "withdrawn" == state(database, question_id)


def test_host_unheard_of_is_not_asked(database: Database, now: list[datetime]) -> None:
    now[0] += timedelta(seconds=91)

    with pytest.raises(HostOffline, match="a is offline"):
        ask(database)


def test_revoked_host_is_not_asked(database: Database) -> None:
    database.write(lambda connection: connection.execute("UPDATE agents SET state = 'revoked'"))

    with pytest.raises(Conflict, match="revoked"):
        ask(database)


def test_ninth_open_question_is_one_too_many_until_the_others_run_out(database: Database, now: list[datetime]) -> None:
    for _ in range(8):
        ask(database)

    with pytest.raises(TooMany):
        ask(database)
    now[0] += questions.SILENCE

    assert [ask(database)] == take(database)


def test_newest_questions_of_a_host_are_kept_and_no_more(database: Database) -> None:
    for _ in range(3 * questions.KEPT_LIMIT):
        question_id = ask(database)
        take(database)
        answer(database, question_id)

    rows = database.read.execute("SELECT count(*) AS count FROM questions").fetchone()

    assert questions.KEPT_LIMIT == rows["count"]


def test_questions_are_forgotten_after_some_minutes(database: Database, now: list[datetime]) -> None:
    question_id = ask(database)
    now[0] += questions.KEPT - timedelta(seconds=1)
    early = questions.forget(database)

    now[0] += timedelta(seconds=2)

    assert (0, 1) == (early, questions.forget(database))
    with pytest.raises(NotFound):
        questions.answer_of(database, US, question_id)


def test_count_that_takes_too_long_is_cut_off(database: Database, now: list[datetime]) -> None:
    question_id = ask(database, TryExcludes())
    take(database)

    now[0] += questions.LIFE

    assert not answer(database, question_id, Answer(excludes=ExcludesTried(files_count=5)))
    assert "expired" == state(database, question_id)


def test_path_with_a_zero_byte_is_refused(database: Database) -> None:
    for question in (ListFolder(path="/a\0b"), TryExcludes(sources=("/a\0b",))):
        with pytest.raises(InvalidRequest):
            ask(database, question)


@pytest.mark.parametrize(
    ("known", "seconds", "expected"),
    [
        ({}, 29, "waiting"),
        ({}, 30, "expired"),
        ({"taken_at": NOW, "heard_at": NOW}, 29, "answering"),
        ({"taken_at": NOW, "heard_at": NOW}, 30, "expired"),
        ({"taken_at": NOW, "heard_at": NOW + timedelta(seconds=100)}, 129, "answering"),
        ({"taken_at": NOW, "heard_at": NOW + timedelta(seconds=599)}, 600, "expired"),
        ({"taken_at": NOW, "heard_at": NOW, "answered_at": NOW}, 800, "answered"),
        ({"taken_at": NOW, "heard_at": NOW, "withdrawn_at": NOW}, 1, "withdrawn"),
    ],
)
def test_state_follows_from_what_was_heard_and_when(known: dict[str, datetime], seconds: int, expected: str) -> None:
    names = {"id": "qst_1", "tenant_id": "tnt_1", "agent_id": "agt_a", "question_json": "", "asked_at": NOW}
    row = msgspec.convert({**names, **known}, AskedRow)

    assert expected == questions.state_at(row, NOW + timedelta(seconds=seconds))
