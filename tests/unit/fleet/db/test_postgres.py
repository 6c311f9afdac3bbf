"""PostgreSQL under the registry: one writer at a time over processes, and it may go and return."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from forebay_fleet.db import place, postgres
from forebay_fleet.errors import StoreAway, StoreError, StoreFailed
from forebay_fleet.registry import SCHEMA, Registry

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Postgres


@pytest.fixture
def site(postgres: Postgres, tmp_path: Path) -> Path:
    return postgres.site(tmp_path)


def count_up(registry: Registry) -> None:
    with registry.transaction() as db:
        found = db.execute("SELECT value FROM facts WHERE name = ?", ("n",)).fetchone()
        db.execute(
            "INSERT INTO facts VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            ("n", str(int(found[0]) + 1 if found else 1)),
        )


def cut_short(registry: Registry, server: Postgres) -> None:
    with registry.transaction() as db:
        db.execute("UPDATE facts SET value = '2'")
        server.end(signal.SIGQUIT)
        server.start()
        db.execute("UPDATE facts SET value = '3'")


def test_what_one_reads_no_other_changes_before_it_writes(site: Path) -> None:
    def work(_: int) -> None:
        with Registry(site) as registry:
            for _ in range(20):
                count_up(registry)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    with Registry(site) as registry:
        assert registry.fact("n") == "80"


def test_who_comes_first_makes_the_tables(site: Path) -> None:
    def open_it(_: int) -> str | None:
        with Registry(site) as registry:
            return registry.fact("x")

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(open_it, range(8))) == [None] * 8


def test_a_connection_that_was_lost_comes_back(postgres: Postgres, site: Path) -> None:
    with Registry(site) as registry, Registry(site) as other:
        registry.tell("x", "1")
        with pytest.raises(StoreAway):
            cut_short(registry, postgres)
        assert registry.fact("x") == "1"
        count_up(other)  # its first word after the loss begins a transaction
        assert registry.changed()
        postgres.end(signal.SIGQUIT)
        with pytest.raises(StoreAway, match="the database failed"):
            registry.fact("x")
        with pytest.raises(StoreAway):
            count_up(registry)
        postgres.start()
        count_up(registry)
        assert other.fact("n") == "2"


def test_whole_numbers_stay_so_and_truth_is_one(site: Path) -> None:
    with Registry(site) as registry, registry.transaction() as db:
        db.script("CREATE TABLE t (n INTEGER, name TEXT, data BLOB) STRICT")
        db.executemany(
            "INSERT INTO t VALUES (?, ?, ?)",
            [(1 << 62, "B", b"\0\xff"), (True, "a", b""), (None, "b", None)],
        )
        rows = db.execute("SELECT n, name, data FROM t ORDER BY name").fetchall()
        assert rows == [(1 << 62, "B", b"\0\xff"), (1, "a", b""), (None, "b", None)]
        assert db.execute("SELECT sum(n), count(*), max(n) FROM t").fetchone() == (
            (1 << 62) + 1,
            3,
            1 << 62,
        )


def test_a_walk_leaves_room_for_other_questions_and_ends_cleanly(site: Path) -> None:
    with Registry(site) as registry, registry.reading() as db:
        db.script("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        db.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(100)])
        walked = []
        with closing(db.walk("SELECT n FROM t ORDER BY n")) as rows:  # type: ignore[type-var]
            for (n,) in rows:
                walked.append(n)
                assert db.execute("SELECT count(*) FROM t").fetchone() == (100,)
                if n == 50:
                    break
        assert walked == [*range(51)]
        inner = [
            (a, b)
            for (a,) in db.walk("SELECT n FROM t WHERE n < ? ORDER BY n", (30,))
            for (b,) in db.walk("SELECT n FROM t WHERE n < ?", (2,))
        ]
        assert len(inner) == 60
        count_up(registry)  # nothing of a transaction is left
        assert registry.fact("n") == "1"


def test_what_postgresql_refuses_is_told(site: Path) -> None:
    with Registry(site) as registry:
        with pytest.raises(StoreFailed, match="nowhere"):
            registry.rows("SELECT * FROM nowhere")
        with suppress(KeyError), registry.transaction() as db:
            db.execute("INSERT INTO facts VALUES ('x', 'y')")
            raise KeyError
        assert registry.fact("x") is None


def test_a_lock_that_is_held_for_long_is_told(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "BUSY_MS", 50)
    with Registry(site) as registry, Registry(site) as other, other.transaction():
        with pytest.raises(StoreFailed, match="lock timeout"):
            registry.tell("x", "1")
        assert registry.fact("x") is None


def test_a_server_that_does_not_flush_is_refused(postgres: Postgres, site: Path) -> None:
    postgres.end(signal.SIGINT)
    try:
        postgres.start(fsync="off")
        with pytest.raises(StoreError, match="fsync"):
            Registry(site)
    finally:
        postgres.end(signal.SIGINT)
        postgres.start()


def test_commits_wait_for_the_disk_whatever_the_role_says(site: Path) -> None:
    url = place.address(site)
    assert url is not None
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER ROLE forebay SET synchronous_commit = off")
    try:
        with Registry(site) as registry:
            assert registry.rows("SHOW synchronous_commit") == [("on",)]
            assert registry.rows("SHOW search_path") == [(SCHEMA,)]
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER ROLE forebay RESET synchronous_commit")


@pytest.mark.parametrize(
    ("hosts", "here"),
    [
        ("", True),
        ("/run/postgresql", True),
        ("localhost,127.0.0.2", True),
        ("::1", True),
        ("127.0.0.1,db.example.org", False),
        ("10.0.0.1", False),
    ],
)
def test_who_is_elsewhere_must_show_who_it_is(hosts: str, *, here: bool) -> None:
    settings = postgres.settings(f"postgresql:///fleet?host={hosts}")
    assert (settings.get("sslmode") == "verify-full") is not here
    assert (
        postgres.settings(f"postgresql:///x?host={hosts}&sslmode=require")["sslmode"] == "require"
    )
