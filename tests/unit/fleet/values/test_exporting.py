"""An export in pieces is all of it, once, in order, and no piece is larger than it may be."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from forebay.columnar import encode_batch, encode_schema
from forebay.model import Batch, Schema, Tag, ValueType
from forebay_fleet._proto import uplink_pb2
from forebay_fleet.cli import app
from forebay_fleet.errors import StoreError, UsageError
from forebay_fleet.query import TagHistory, query
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.values import asking, exporting, exports
from forebay_fleet.values.asking import Asked, Export
from forebay_fleet.values.exporting import piece
from forebay_fleet.values.exports import Exports
from forebay_fleet.values.reading import Readers
from support.fleet import record
from support.fleet_ingest import SECOND_NS, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW_S = 1_795_000_000
SPAN = (NOW_S * SECOND_NS, (NOW_S + 10_000) * SECOND_NS)
FAST = Schema("press", "fast", (Tag("a", "a", ValueType.FLOAT64), Tag("b", "b", ValueType.BOOL)))
SLOW = Schema("press", "slow", (Tag("image", "c", ValueType.BYTES),))


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    """Forty batches whose times run into each other, and five blobs between them."""
    server = Server(data)
    server.hello()
    for seq, schema in ((1, FAST), (2, SLOW)):
        server.send(record(seq, uplink_pb2.SCHEMA, encode_schema(schema)))
    rng = np.random.default_rng(7)
    for number in range(40):
        times = (NOW_S + np.sort(rng.choice(400, 5, replace=False))) * SECOND_NS + number
        numbers = (rng.normal(size=(5, 1)), rng.random((5, 1)) < 0.5)
        lanes = {ValueType.FLOAT64: numbers[0], ValueType.BOOL: numbers[1]}
        send(
            server,
            3 + number,
            Batch(FAST, times, times + 5, tuple(lanes[x.type] for x in FAST.lanes)),
        )
    for number in range(5):
        times = np.array([(NOW_S + number * 80) * SECOND_NS])
        send(server, 43 + number, Batch(SLOW, times, times, (np.array([[b"x" * 1000]], object),)))
    yield server
    server.store.close()


def send(server: Server, seq: int, made: Batch) -> None:
    span = (int(made.times_ns.min()), int(made.times_ns.max()))
    payload = encode_batch([made])
    server.send(record(seq, uplink_pb2.BATCH, payload, samples=made.samples, times_ns=span))


def pieces(server: Server, pattern: str) -> list[pa.Table]:
    export, found, following = Export(Asked("g", pattern), SPAN), [], SPAN[0]
    with StoreReader(server.directory) as store:
        at: int | None = following
        while at is not None:
            table, at = piece(store, export, at)
            found.append(table)
    return found


def told(server: Server, path: str) -> list[tuple[int, object]]:
    with StoreReader(server.directory) as store:
        return [
            (v.time_ns, v.value) for v in query(TagHistory(store, "g", path), SPAN, 1000).values
        ]


@pytest.mark.parametrize("most", ["samples", "bytes", "nothing"])
def test_pieces_are_all_of_it_once(
    server: Server, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    if most == "samples":
        monkeypatch.setattr(exporting, "PIECE_SAMPLES", 20)
    if most == "bytes":
        monkeypatch.setattr(exporting, "PIECE_BYTES", 500)
    found = pieces(server, "press/*")
    assert (len(found) > 5) == (most != "nothing")
    rows = pa.concat_tables(found)
    times = rows["time"].cast(pa.int64()).to_pylist()
    tags = rows["tag"].to_pylist()
    assert list(zip(times, tags, strict=True)) == sorted(zip(times, tags, strict=True))
    values, texts = rows["value"].to_pylist(), rows["text"].to_pylist()
    for tag in ("press/a", "press/b"):
        own = [(t, v) for t, n, v in zip(times, tags, values, strict=True) if n == tag]
        assert own == told(server, tag)
    assert [t for t, n in zip(texts, tags, strict=True) if n == "press/image"] == [
        "eHh4" * 333 + "eA=="
    ] * 5


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_beside_the_server_holds_what_an_answer_holds(
    server: Server, tmp_path: Path, form: str
) -> None:
    out = tmp_path / f"all.{form}"
    words = ("--gateway", "g", "--tag", "press/*", "--out", str(out), "--json")
    span = ("--from", str(SPAN[0]), "--to", str(SPAN[1]), "--data", str(server.directory))
    done = CliRunner().invoke(app, ["export", *words, *span])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == {"file": str(out), "rows": 405}
    read = pyarrow.csv.read_csv if form == "csv" else pyarrow.parquet.read_table
    assert (
        read(out)["tag"].to_pylist()
        == pa.concat_tables(pieces(server, "press/*"))["tag"].to_pylist()
    )


@pytest.mark.parametrize(
    ("out", "tag", "told"),
    [
        ("all.txt", "press/a", "is no .csv or .parquet"),
        ("none/all.csv", "press/a", "cannot write"),
        ("all.csv", "press/none", "no tag"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(
    server: Server, tmp_path: Path, out: str, tag: str, told: str
) -> None:
    before = set(tmp_path.iterdir())
    words = ("--gateway", "g", "--tag", tag, "--out", str(tmp_path / out))
    done = CliRunner().invoke(app, ["export", *words, "--data", str(server.directory)])
    assert isinstance(done.exception, UsageError)
    assert told in str(done.exception)
    assert set(tmp_path.iterdir()) == before


def test_blobs_have_a_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "MOST_TEXT_BYTES", 4_500)
    with pytest.raises(UsageError, match="texts or blobs"):
        pieces(server, "press/image")
    monkeypatch.setattr(asking, "MOST_BYTES", 4_500)
    with StoreReader(server.directory) as store:
        asked = Asked("g", "press/image")
        assert asking.newest(store, asked, SPAN, 4)
        with pytest.raises(UsageError, match="texts or blobs"):
            asking.newest(store, asked, SPAN, 5)
        page = asking.by_position(store, asked, (0, 0), 100).page
        assert len(page.values) == 5  # the one that goes over it is the last
        with pytest.raises(UsageError, match="3 tags of 20000"):
            asking.newest(store, Asked("g", "press/*"), SPAN, 20_000)


async def all_of(made: Exports, export: Export) -> bytes:
    """Give a file, nothing if too many are made."""
    try:
        return b"".join([part async for part in await made.open(export, "csv", may)])
    except StoreError:
        return b""


async def may() -> None:
    """Let everybody."""


async def test_few_files_are_made_at_once_and_who_leaves_makes_room(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(exporting, "PIECE_SAMPLES", 20)
    export = Export(Asked("g", "press/*"), SPAN)
    async with Readers(server.directory) as readers:
        made = Exports(readers)
        first = await made.open(export, "csv", may)
        with pytest.raises(StoreError, match="1 exports run"):
            await made.open(export, "csv", may)
        assert (await anext(first)).startswith(b'"time"')
        await first.aclose()
        await made.open(export, "csv", may)  # nobody takes a part of it
        async with asyncio.timeout(30):
            whole = b""
            while not whole:
                await asyncio.sleep(0)
                whole = await all_of(made, export)
        assert whole.count(b"\n") == 1 + 405
        with pytest.raises(UsageError):
            await made.open(Export(Asked("g", "nothing"), SPAN), "csv", may)
        assert await all_of(made, export) == whole


async def test_a_file_breaks_off_for_who_may_no_more(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PIECE_SAMPLES", 20)
    asked = 0

    async def at_first() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise UsageError("revoked", hint="")

    async with Readers(server.directory) as readers:
        parts = await Exports(readers).open(Export(Asked("g", "press/*"), SPAN), "csv", at_first)
        with pytest.raises(UsageError, match="revoked"):
            await anext(part async for part in parts if not part)


async def test_a_question_ends_when_nobody_waits_for_its_answer(server: Server) -> None:
    began, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless(store: StoreReader) -> None:
        history = asking.open_history(store, Asked("g", "press/*"))
        loop.call_soon_threadsafe(began.set)
        try:
            while True:
                history.patience()
                time.sleep(0.01)
        finally:
            loop.call_soon_threadsafe(ended.set)

    async with Readers(server.directory) as readers, asyncio.timeout(asking.LONGEST_S * 0.8):
        asked = asyncio.create_task(readers(endless), name="test.asked")
        await began.wait()
        asked.cancel()
        await ended.wait()
        assert len(await readers(lambda store: store.gateways())) == 1


async def test_a_reader_whose_database_failed_is_not_used_again(server: Server) -> None:
    async with Readers(server.directory) as readers:

        def broken(store: StoreReader) -> None:
            store._db.execute("SELECT 1 FROM nothing")  # noqa: SLF001 - what a database refuses

        for _ in range(4):
            with pytest.raises(StoreError):
                await readers(broken)
        assert len(await readers(lambda store: store.gateways())) == 1
