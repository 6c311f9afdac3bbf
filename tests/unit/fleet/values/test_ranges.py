"""Steps, chunks and tails where clocks were wrong, schemas changed, or readers were slow."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from forebay.columnar import encode_batch, encode_schema
from forebay.model import Batch, Schema, Tag, ValueType
from forebay_fleet._proto import batch_pb2, uplink_pb2
from forebay_fleet.errors import UsageError
from forebay_fleet.query import TagHistory, query
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.values import asking, series, tailing
from forebay_fleet.values.asking import Asked
from forebay_fleet.values.ranges import in_steps
from forebay_fleet.values.spans import DAY_NS, moment_ns, span_ns
from forebay_fleet.values.tailing import Missed, Tail
from support.fleet import record
from support.fleet_ingest import EPOCH, SECOND_NS, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW_S = 1_795_000_000
TAGS = (Tag("t", "a", ValueType.FLOAT64, "bar"), Tag("u", "b", ValueType.FLOAT64, "bar"))
OLD, NEW = Schema("press", "fast", TAGS[:1]), Schema("press", "fast", TAGS[::-1])


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    server = Server(data)
    server.hello()
    server.send(schema(1, OLD), schema(2, NEW))
    yield server
    server.store.close()


@contextmanager
def reading(server: Server, *, raw_times: bool = False) -> Iterator[TagHistory]:
    with StoreReader(server.directory) as reader:
        yield TagHistory(reader, "g", "press/t", raw_times=raw_times)


def schema(seq: int, what: Schema) -> uplink_pb2.Record:
    return record(seq, uplink_pb2.SCHEMA, encode_schema(what))


def scan(seq: int, second: int, value: float, what: Schema = OLD) -> uplink_pb2.Record:
    """One row in which every tag has the value."""
    at = second * SECOND_NS
    times = np.array([at])
    made = Batch(what, times, times + 1000, (np.full((1, len(what.tags)), value),))
    payload = encode_batch([made])
    return record(seq, uplink_pb2.BATCH, payload, samples=len(what.tags), times_ns=(at, at))


def tie(seq: int, wall_s: int, since_boot_s: int, state: batch_pb2.ClockState) -> uplink_pb2.Record:
    payload = batch_pb2.Anchor(
        boot_id="boot",
        wall_ns=wall_s * SECOND_NS,
        monotonic_ns=since_boot_s * SECOND_NS,
        state=state,
    )
    return record(seq, uplink_pb2.ANCHOR, payload.SerializeToString())


def test_a_tag_goes_on_in_another_column_of_another_schema(server: Server) -> None:
    server.send(*(scan(3 + n, NOW_S + n, float(n)) for n in range(5)))
    server.send(*(scan(8 + n, NOW_S + 5 + n, 5.0 + n, NEW) for n in range(5)))
    with reading(server) as history:
        steps = in_steps(history, (NOW_S * SECOND_NS, (NOW_S + 10) * SECOND_NS - 1), 5).steps
    assert steps.mean.tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert steps.last.tolist() == [1.0, 3.0, 5.0, 7.0, 9.0]


@pytest.mark.parametrize("raw_times", [False, True])
def test_times_are_mended_as_a_query_mends_them(server: Server, *, raw_times: bool) -> None:
    """A box whose clock stood in 1970 until a minute after its start."""
    server.send(
        tie(3, 100, 100, batch_pb2.UNSYNCED),
        scan(4, 110, 1.0),
        scan(5, 120, 2.0),
        tie(6, NOW_S, 160, batch_pb2.SYNCED),
        scan(7, NOW_S + 1, 3.0),
    )
    always = (0, 1 << 61)
    with reading(server, raw_times=raw_times) as history:
        wanted = [(v.time_ns, v.clock.value) for v in query(history, always, 10).values]
        schema_view, column = history.columns[0]
        found = [c for _, c in series.chunks(history, schema_view, [column], always)]
        times = np.concatenate([c.times_ns for c in found]).tolist()
        clocks = np.concatenate([c.clock for c in found]).tolist()
        names = ("", "mended", "unsynced")
        assert sorted((t, names[c]) for t, c in zip(times, clocks, strict=True)) == sorted(wanted)
        span = (NOW_S - 100) * SECOND_NS, (NOW_S + 100) * SECOND_NS
        assert in_steps(history, span, 1).steps.samples.tolist() == [1 if raw_times else 3]


@pytest.mark.parametrize("hours", [1, 2, 3, 4, 100])
def test_a_batch_that_began_in_the_span_is_found_wherever_it_ends(
    server: Server, hours: int
) -> None:
    times = np.array([NOW_S, NOW_S + hours * 3600]) * SECOND_NS
    made = Batch(OLD, times, times, (np.array([[1.0], [2.0]]),))
    span = int(times[0]), int(times[1])
    server.send(
        scan(3, NOW_S - 1, 0.0),
        record(4, uplink_pb2.BATCH, encode_batch([made]), samples=2, times_ns=span),
        scan(5, NOW_S + 1, 3.0),
    )
    with reading(server) as history:
        around = (NOW_S * SECOND_NS, (NOW_S + 10) * SECOND_NS)
        assert [v.value for v in query(history, around, 10).values] == [1.0, 3.0]
        assert in_steps(history, around, 1).steps.samples.tolist() == [2]
        assert [row.seq for row in history.details(history.columns[0][0], around)] == [5, 4]


def test_first_and_last_are_by_time_whatever_came_when(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "MOST_RECORDS", 2)
    monkeypatch.setattr(series, "TAKEN", 1)
    order = [3, 0, 4, 1, 2, 5]
    server.send(*(scan(3 + i, NOW_S + n, float(n)) for i, n in enumerate(order)))
    with reading(server) as history:
        steps = in_steps(history, (NOW_S * SECOND_NS, (NOW_S + 6) * SECOND_NS - 1), 2).steps
    assert (steps.first.tolist(), steps.last.tolist()) == ([0.0, 3.0], [2.0, 5.0])
    assert (steps.min.tolist(), steps.max.tolist()) == ([0.0, 3.0], [2.0, 5.0])


def test_a_question_that_takes_too_long_ends(server: Server) -> None:
    server.send(scan(3, NOW_S, 1.0))
    with reading(server) as history:
        history.patience = asking.patient(0.0)
        with pytest.raises(UsageError, match="takes longer"):
            in_steps(history, (0, 1 << 61), 1)
        asked = Asked("g", "press/t", until_s=0.0)
        with pytest.raises(
            UsageError, match="takes longer"
        ):  # nobody waits for the answer any more
            asking.newest(history.reader, asked, (0, 1 << 61), 1)


def test_a_slow_reader_is_told_what_it_missed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "MOST_BEHIND", 20)
    monkeypatch.setattr(tailing, "KEPT", 5)
    server.send(scan(3, NOW_S, 0.0))
    tail = Tail(Asked("g", "press/t"))
    with StoreReader(server.directory) as reader:
        assert tail.look(reader).fresh == []
        server.send(*(scan(4 + n, NOW_S + n, float(n)) for n in range(20)))
        look = tail.look(reader)
        assert [v.value for v in look.fresh[0].values] == [float(n) for n in range(20)]
        assert not look.missed
        server.send(*(scan(24 + n, NOW_S + 20 + n, float(n)) for n in range(30)))
        look = tail.look(reader)
        assert look.missed == [Missed(uplink_pb2.TELEMETRY, EPOCH, 24, 48)]
        assert [v.value for v in look.fresh[0].values] == [25.0, 26.0, 27.0, 28.0, 29.0]
        assert tail.at == {uplink_pb2.TELEMETRY: (EPOCH, 53)}


def test_a_tail_goes_on_in_pieces_and_with_a_schema_that_is_new(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tailing, "MOST_VALUES", 4)
    server.send(scan(3, NOW_S, 0.0))
    tail = Tail(Asked("g", "press/*"), {uplink_pb2.TELEMETRY: (EPOCH, 2)})
    more = Schema("press", "slow", (Tag("new", "c", ValueType.FLOAT64),))
    server.send(*(scan(4 + n, NOW_S + n, float(n), NEW) for n in range(5)))
    server.send(schema(9, more), scan(10, NOW_S + 9, 9.0, more))
    seen: list[tuple[str, object]] = []
    looks = 0
    with StoreReader(server.directory) as reader:
        while True:
            look = tail.look(reader)
            looks += 1
            seen += [(one.tag, value.value) for one in look.fresh for value in one.values]
            if not look.more:
                break
    assert looks > 2
    numbers = [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]
    assert [value for tag, value in seen if tag == "press/t"] == numbers
    assert [value for tag, value in seen if tag == "press/u"] == numbers[1:]
    assert seen[-1] == ("press/new", 9.0)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:01Z", SECOND_NS),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00 01:00", 0),
        ("19700102", DAY_NS),
        ("1790000000123456789", 1_790_000_000_123_456_789),
        ("0", 0),
    ],
)
def test_times_as_people_and_programs_write_them(text: str, time_ns: int) -> None:
    assert moment_ns(text) == time_ns


@pytest.mark.parametrize("text", ["soon", "", "9" * 30, "1e9", "-"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError):
        moment_ns(text)


def test_a_span_is_a_day_up_to_now_unless_it_says_otherwise() -> None:
    assert span_ns(None, None, 10 * DAY_NS) == (9 * DAY_NS, 10 * DAY_NS)
    assert span_ns("5", "7", 0) == (5, 7)
    with pytest.raises(UsageError):
        span_ns("7", "5", 0)
