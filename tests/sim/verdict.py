"""What must hold when the trouble is over: nothing lost in silence, twice or invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.journal.offline import OfflineJournal
from forebay.model import RecordKind, Stream
from forebay_fleet._proto import uplink_pb2
from forebay_fleet.audit import verify
from forebay_fleet.decode import decode_batch, decode_schema
from forebay_fleet.store.reader import StoreReader
from forebay_fleet.watermark import watermarks
from sim.plc import NOISE_FROM
from sim.world import ROOMY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from forebay_fleet.store.reader import LineRow
    from sim.world import World

TELEMETRY = 3
_BAD = 0x8000_0000


EXACTLY, LOSSLESS, LOOSELY = "exactly", "exactly, and nothing may be lost", "loosely"


def check(world: World) -> str:
    """Compare each server's store with what the PLC gave and with the agent's ledger.

    Gives how it was judged: `LOOSELY` where a server or the gateway's disk was put back in time,
    so that the two accounts may differ.
    """
    book = world.book
    assert book is not None
    put_back = world.rolled_back or any(server.restored for server in world.servers.values())
    tight = world.max_bytes < ROOMY_BYTES
    lossless = not (put_back or tight or book.was_full or book.rotted or book.aged)
    for name, server in world.servers.items():
        with StoreReader(server.directory) as reader:
            values = _values(world, reader)
            _delivered(world, reader)
            if not server.restored:
                _promised(world, reader, values)
            if lossless:
                _lossless(reader, world.last_words[name])
            _ordered(reader)
            finding = verify(reader)
            assert not finding.problems, finding.problems
            assert finding.duplicate_samples == 0
            written = world.written if world.rolled_back else None
            account(reader, world.last_words[name], exact=not server.restored, written=written)
    return LOOSELY if put_back else LOSSLESS if lossless else EXACTLY


def _values(world: World, reader: StoreReader) -> NDArray[np.int64]:
    """Each stored value is one that the PLC gave, under its own tag, at most once."""
    columns = world.plc.columns
    seen: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for line in reader.lines():
        for record in reader.records(line.id):
            if record.kind != uplink_pb2.BATCH:
                continue
            assert record.schema_id is not None
            schema = decode_schema(reader.history.schema(record.gateway, record.schema_id) or b"")
            batch = decode_batch(record.payload, schema)
            for column in range(columns):
                series = batch.series(column)
                values = series.values[(series.quality & _BAD) == 0] & ((1 << NOISE_FROM) - 1)
                assert (values % columns == column).all(), "a value under another tag"
                seen.append(values)
    values = np.concatenate([*seen, np.zeros(0, np.int64)])
    assert len(np.unique(values)) == len(values), "a value twice"
    assert not len(values) or values.max() < world.plc.polls * columns, "an invented value"
    return values


def _promised(world: World, reader: StoreReader, values: NDArray[np.int64]) -> None:
    """What the journal ever called durable is on the server, or the server's account names it."""
    assert world.book is not None
    durable = np.fromiter(world.book.durable, np.int64)
    there = int(np.isin(values // world.plc.columns, durable).sum())
    missing = len(durable) * world.plc.columns - there
    told = _told_of(reader, world.written) if world.rolled_back else _told(reader)
    thinned = sum(r.thinned for line in _lines(reader) for r in reader.records(line.id))
    excused = told.gone + told.unclear + thinned
    assert missing <= excused, f"{missing} durable samples are not there, {excused} are named"


def _lossless(reader: StoreReader, account: Mapping[str, Any]) -> None:
    """Where the disk had room and rested, only what no commit had reached is gone."""
    causes = {gap.cause for line in _lines(reader) for gap in reader.gaps(line.id)}
    assert account["gapped"] == 0, (account, causes)
    assert account["quarantined"] == 0, account
    assert causes <= {"UNCLEAN_SHUTDOWN", "NOT_POLLED"}, causes


def _delivered(world: World, reader: StoreReader) -> None:
    """Whatever can be read on the gateway, and no gap there calls gone, is on the server."""
    journal = OfflineJournal(world.journal, world.disk)
    gone = journal.named(Stream.TELEMETRY)
    there = {(line.epoch, seq) for line in _lines(reader) for seq in _positions(reader, line)}
    for file in journal.segments(Stream.TELEMETRY):
        content = journal.read(file)
        for record in content.records() if content is not None else ():
            epoch, seq = at = record.position[1:]
            told = any(g.epoch == epoch and g.seq_from <= seq <= g.seq_to for g in gone)
            if record.kind is RecordKind.BATCH and not told:
                assert at in there, f"{epoch:x}/{seq} is on disk and was never delivered"


def _ordered(reader: StoreReader) -> None:
    """A reader that goes by the watermark has come to the last record there is."""
    lines = _lines(reader)
    last = [line for line in lines if line.records][-1:]
    marks = [mark for mark in watermarks(lines) if mark.stream == TELEMETRY]
    assert [mark.open for mark in marks] == [0], marks
    assert [(line.epoch, line.coverage.end - 1) for line in last] == [marks[0].position], marks


def _lines(reader: StoreReader) -> list[LineRow]:
    return [line for line in reader.lines() if line.stream == TELEMETRY]


def _positions(reader: StoreReader, line: LineRow) -> Iterator[int]:
    yield from (record.seq for record in reader.records(line.id))
    yield from (seq for seq, *_ in reader.rejected(line.id))


def account(
    reader: StoreReader,
    account: Mapping[str, Any],
    *,
    exact: bool = True,
    written: Mapping[int, int] | None = None,
) -> None:
    """The agent's account balances with nothing pending, and the server's adds up to the same.

    The server may have what the agent counts as gapped: an ack that no cursor file kept, before the
    record was dropped. It may have less only if it was restored from a backup, not `exact` then.
    Of a journal that was put back in time the server knows more; `written` (epoch: next seq) is
    what both know of.
    """
    kept = [account[name] for name in ("delivered", "gapped", "quarantined")]
    assert account["pending"] == 0, account
    assert account["produced"] == sum(kept), account
    if not exact:
        return
    told = _told(reader) if written is None else _told_of(reader, written)
    assert told.forked == 0
    assert told.samples >= account["delivered"], (account, told)
    least = told.samples + told.gone
    assert least <= account["produced"] <= least + told.unclear, (account, told)


class _Told(NamedTuple):
    """A server's account of telemetry.

    `samples` are there, or were before thinning if the journal went back in time: then it may have
    counted as delivered whole what the server has as it was thinned in the other course of things.
    `gone` are not, and a gap says so; `unclear` is what gaps say of positions some of which the
    journal has never heard of, and nobody can know of which.
    """

    samples: int
    gone: int
    unclear: int = 0
    forked: int = 0


def _told(reader: StoreReader) -> _Told:
    lines = _lines(reader)
    samples, gapped, refused, forked = (
        sum(getattr(line, name) for line in lines)
        for name in ("samples", "gapped", "refused", "forked")
    )
    return _Told(samples, gapped + refused, forked=forked)


def _told_of(reader: StoreReader, written: Mapping[int, int]) -> _Told:
    """Add up what is told of `written` positions, wherever a gap that names them stands."""
    samples = gone = unclear = 0
    lines = _lines(reader)
    for line in lines:
        end = written.get(line.epoch, 1)
        for record in reader.records(line.id):
            if record.kind == uplink_pb2.BATCH and record.seq < end:
                samples += record.samples + record.thinned
        gone += sum(held for seq, _, held, _ in reader.rejected(line.id) if seq < end)
        placeless = [gap for gap in reader.gaps(line.id) if gap.seq is not None and not gap.seq_to]
        gone += sum(gap.counted for gap in placeless if (gap.seq or 0) < end)
        for gap in reader.naming(line.id):
            if gap.seq < written.get(gap.epoch, 1) or gap.last < end:
                gone += gap.counted
            elif gap.first < end:
                unclear += gap.counted
    return _Told(samples, gone, unclear, sum(line.forked for line in lines))
