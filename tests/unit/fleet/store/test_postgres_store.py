"""The store in PostgreSQL: parts with an owner each, days, a crash, and a backup."""

from __future__ import annotations

import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.db import place
from forebay_fleet.db import postgres as postgres_database
from forebay_fleet.errors import StoreAway, StoreError, StoreLocked, UsageError
from forebay_fleet.ingest import Ingest
from forebay_fleet.store import records
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.store.writer import StoreWriter
from support.fleet import anchor, record
from support.fleet_ingest import LIMITS, Server, batch, gap, schema

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Postgres

DAY_NS = records.DAY_NS
NOW_NS = 20_000 * DAY_NS + 7
"""A day in 2024."""


@pytest.fixture
def site(postgres: Postgres, tmp_path: Path) -> Path:
    return postgres.site(tmp_path)


class At(Server):
    """A server whose clock stands at `NOW_NS`; it may own a part of the store."""

    def __init__(self, directory: Path, part: int | None = None) -> None:
        self.part = part
        super().__init__(directory)

    def open(self) -> None:
        self.store = StoreWriter(self.directory, self.part)
        self.ingest = Ingest(self.store, LIMITS, lambda: NOW_NS)


def dated(seq: int, *days: float) -> uplink_pb2.Record:
    payload = anchor(seq).payload
    times_ns = (round(days[0] * DAY_NS), round(days[-1] * DAY_NS))
    return record(seq, uplink_pb2.ANCHOR, payload, times_ns=times_ns)


def parts(directory: Path) -> dict[str, int]:
    """Give the parts of `records` that hold any, and how many."""
    url = place.address(directory)
    assert url is not None
    with psycopg.connect(url) as connection:
        rows: list[Any] = connection.execute(
            "SELECT tableoid::regclass::text, count(*) FROM forebay_store.records GROUP BY 1"
        ).fetchall()
    return {name.rpartition(".")[2]: count for name, count in rows}


def test_each_day_has_a_part_and_what_has_no_day_is_found_too(site: Path) -> None:
    with closing((server := At(site)).store):
        server.hello()
        server.send(dated(1, 19_999.5), dated(2, 19_999.9, 20_000.1), dated(3, 20_000.5))
        server.send(dated(4, 20_001.5), dated(5, 20_002.5), dated(6, 90_000), dated(7, 10_956))
        server.send(dated(8, 19_999.1))
        assert parts(site) == {
            "records_19999": 2,
            "records_20000": 2,
            "records_20001": 1,
            "records_astray": 3,
        }
        server.send(*(dated(seq, 20_000) for seq in range(1, 9)))
        assert server.line().duplicates == 8
        finding = server.finding()
        assert (finding.sound, finding.problems) == (True, [])
        with StoreReader(site) as reader:
            assert [row.seq for row in reader.records(server.line().id)] == [*range(1, 9)]


def test_more_days_than_there_may_be_go_astray(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_DAYS", 3)
    with closing((server := At(site)).store):
        server.hello()
        server.send(*(dated(seq, 19_000 + seq) for seq in range(1, 7)))
        server.send(dated(7, 19_001.5), dated(8, 19_006.5))
        found = parts(site)
        assert found["records_19001"] == 2
        assert found["records_astray"] == 4
        assert sum(found.values()) == 8
        assert server.verified() == []


def test_a_new_day_waits_for_nobody(site: Path) -> None:
    """Two writers and a reader in the midst of their transactions, and each needs new parts."""
    with closing((one := At(site, 0)).store), closing((two := At(site, 1)).store):
        one.hello(name="one")
        two.hello(name="two")
        with StoreReader(site) as reader, one.store.transaction():
            reader.snapshot()
            assert reader.lines() == []
            one.ingest.take(one.gateway, [schema(1), dated(2, 20_000), gap(3, 2, 2, samples=1)])
            with two.store.transaction():
                two.ingest.take(two.gateway, [dated(1, 20_000), dated(2, 19_998)])
            one.ingest.take(one.gateway, [dated(4, 19_998), dated(5, 19_997)])
            assert reader.lines() == []
        found = parts(site)
        assert (found["records_20000"], found["records_19998"]) == (2, 2)
        assert sum(found.values()) == 7
        assert one.verified() == []


def test_a_part_has_one_owner_and_the_whole_has_all(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_database, "LAST_OWNER_MS", 50)
    with StoreWriter(site, 3), StoreWriter(site, 4):
        with pytest.raises(StoreLocked, match="part 3"):
            StoreWriter(site, 3)
        with pytest.raises(StoreLocked):
            StoreWriter(site)
    with StoreWriter(site), pytest.raises(StoreLocked):
        StoreWriter(site, 5)
    with StoreWriter(site, 5):
        pass


def test_sqlite_has_no_parts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one writer"):
        StoreWriter(tmp_path, 0)


def test_a_crash_of_postgresql_costs_what_was_not_acknowledged(
    site: Path, postgres: Postgres
) -> None:
    server = At(site)
    server.hello()
    server.send(schema(1), batch(2, 5), dated(3, 20_000))
    try:
        with pytest.raises(StoreAway):
            crash_under_way(server, postgres)
        server.store.close()
        with pytest.raises(StoreAway):
            StoreWriter(site)
    finally:
        postgres.start()  # other tests of this worker have it too
    server.open()
    server.hello()
    assert server.line().coverage.committed == 3
    server.send(*(dated(seq, 20_000) for seq in range(3, 7)))
    assert (server.line().coverage.committed, server.line().duplicates) == (6, 1)
    assert server.verified() == []
    server.store.close()


def crash_under_way(server: At, postgres: Postgres) -> None:
    with server.store.transaction():
        server.ingest.take(server.gateway, [dated(4, 20_000), dated(5, 19_990)])
        postgres.end(signal.SIGQUIT)


def test_a_backup_that_was_put_back_is_noticed_once_by_all(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.fresh()
    one, two = tmp_path / "one", tmp_path / "two"
    place.remember(one, url)
    place.remember(two, url)
    with StoreWriter(one, 0) as a, StoreWriter(two, 1) as b:
        first = a.incarnation
        assert (a.era, b.era, b.incarnation) == (0, 0, first)
    postgres.copy(url, "backup")
    with StoreWriter(one, 0), StoreWriter(two, 1):
        pass
    postgres.copy(postgres.url("backup"), url.rpartition("/")[2])
    with StoreWriter(one, 0) as a, StoreWriter(two, 1) as b:
        assert a.incarnation == b.incarnation != first
        assert (a.era, b.era) == (1, 1)
    with StoreWriter(two, 0) as a, StoreReader(one) as reader:
        assert a.era == 1
        assert reader.restored


def test_there_is_no_store_before_a_server_made_one(site: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        StoreReader(site)


def test_a_reader_changes_nothing(site: Path) -> None:
    with StoreWriter(site):
        pass
    with (
        StoreReader(site) as reader,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        reader.history._db.execute("DELETE FROM meta")  # noqa: SLF001 - what nobody may do


def test_a_snapshot_sees_one_state(site: Path) -> None:
    with closing((server := At(site)).store):
        server.hello()
        with StoreReader(site) as reader:
            reader.snapshot()
            assert reader.lines() == []
            server.send(dated(1, 20_000))
            assert reader.lines() == []
        assert len(server.lines()) == 1
