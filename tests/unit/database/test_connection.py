"""One writer, many callers."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from saveos.database.connection import Database
from saveos.database.identifiers import new_id
from saveos.database.migrations import migrate
from saveos.errors import Unavailable


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(tmp_path / "saveos.db")
    opened = Database(tmp_path / "saveos.db")
    yield opened
    opened.close()


def set_fact(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))


def test_write_of_a_failing_caller_leaves_the_others_alone(database: Database) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        set_fact(connection, "bad", "1")
        raise ValueError

    good = database.submit(lambda connection: set_fact(connection, "good", "1"))
    bad = database.submit(fail)
    good.result()
    with pytest.raises(ValueError, match=r"^$"):
        bad.result()

    assert ["good"] == [row["name"] for row in database.read.execute("SELECT name FROM facts")]


def test_write_from_many_threads_loses_no_increment(database: Database) -> None:
    database.write(lambda connection: set_fact(connection, "count", "0"))

    def increment(connection: sqlite3.Connection) -> None:
        value = connection.execute("SELECT value FROM facts WHERE name = 'count'").fetchone()["value"]
        set_fact(connection, "count", str(int(value) + 1))

    threads = [threading.Thread(target=lambda: [database.write(increment) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert "400" == database.read.execute("SELECT value FROM facts WHERE name = 'count'").fetchone()["value"]


def test_read_connection_cannot_write(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError):
        database.read.execute("DELETE FROM facts")


def test_submit_after_close_is_refused(database: Database) -> None:
    database.close()

    with pytest.raises(Unavailable):
        database.submit(lambda _connection: None)


def test_close_while_others_read_lets_them_finish(database: Database) -> None:
    statement = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT sum(i) FROM n"
    begun, found, refused = threading.Barrier(5), [], []

    def read() -> None:
        connection = database.read
        begun.wait()
        found.extend(connection.execute(statement).fetchone() for _ in range(3))
        try:
            database.read.execute("SELECT 1")
        except Unavailable as error:
            refused.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    database.close()
    for thread in threads:
        thread.join()

    assert [300000 * 300001 // 2] * 12 == [row[0] for row in found]
    assert 4 == len(refused)


def test_migrate_of_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saveos.db"
    migrate(path)
    connection = sqlite3.connect(path)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('saveos', 'm999_later', 'now')"
    )
    connection.commit()
    connection.close()

    with pytest.raises(Unavailable):
        migrate(path)


def test_new_id_sorts_by_time() -> None:
    ids = [new_id("x") for _ in range(50)]

    assert len(set(ids)) == len(ids)
    assert [entry[:10] for entry in ids] == sorted(entry[:10] for entry in ids)
