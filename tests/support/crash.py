"""One seeded life of a journal on a disk whose power fails, and what must hold afterwards.

The oracle is a plain list: what was submitted, what was acknowledged as durable, and what any read
has shown so far. `simulate` raises AssertionError on the first promise that is broken.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field

from forebay.columnar import decode_gap
from forebay.errors import JournalFailed, JournalFull
from forebay.journal.entry import gap_entry
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.model import Gap, GapCause, Position, Record, RecordKind, Stream
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.journal import DIRECTORY, ENCODED_SCHEMA, PLENTY, entry, name_of, read_all, seams

STREAMS = (Stream.TELEMETRY, Stream.TELEMETRY, Stream.TELEMETRY, Stream.EVENTS)
STEPS_PER_LIFE = 40
LIVES_MOST = 4
CHANGES_PER_LIFE_MOST = 220
ROOMY_BYTES = 1 << 30
TIGHT_BYTES = 64 << 10


@dataclass
class Oracle:
    """Everything that was promised so far."""

    submitted: dict[int, Entry] = field(default_factory=dict)
    durable: set[int] = field(default_factory=set)
    durable_gap_samples: dict[Stream, int] = field(default_factory=lambda: defaultdict(int))
    gap_samples: dict[Stream, int] = field(default_factory=lambda: defaultdict(int))
    seen: dict[Position, tuple[RecordKind, bytes]] = field(default_factory=dict)
    advanced: dict[Stream, Position] = field(default_factory=dict)
    taken: set[int] = field(default_factory=set)

    def saw(self, records: list[Record]) -> None:
        """A position names the same bytes for ever, and only what was submitted is ever read."""
        for record in records:
            shown = (record.kind, record.payload)
            assert self.seen.setdefault(record.position, shown) == shown, record.position
            if record.kind is RecordKind.BATCH:
                assert self.submitted[name_of(record)].payload == record.payload


async def _life(
    disk: FaultyDisk, limits: JournalLimits, rng: random.Random, oracle: Oracle
) -> None:
    """Use a journal at random until the steps are done or the power is gone."""
    clock = FakeClock()
    opened = Journal(DIRECTORY, limits, seams(disk, clock, rng.getrandbits(32)))
    async with opened as journal:
        cursor = journal.cursor("cloud")
        for stream in set(STREAMS):
            reached = oracle.advanced.get(stream, Position(stream, 0, 0))
            assert cursor.get(stream) <= reached
        waiting: list[tuple[asyncio.Future[None], list[Entry]]] = []
        for _ in range(rng.randint(1, STEPS_PER_LIFE)):
            match rng.choice(("submit", "submit", "submit", "wait", "read", "advance", "time")):
                case "submit":
                    entries = [_entry(rng, oracle) for _ in range(rng.randint(1, 4))]
                    try:
                        waiting.append((journal.submit(entries), entries))
                    except JournalFull:
                        for refused in entries:
                            _forget(refused, oracle)
                case "wait":
                    await _settle(waiting, oracle)
                case "read":
                    oracle.saw(await read_all(journal, rng.choice(STREAMS), rng.randint(1, 20_000)))
                case "advance":
                    stream = rng.choice(STREAMS)
                    records = await journal.read(cursor.get(stream), rng.randint(1, 20_000))
                    oracle.saw(records)
                    if records:
                        count = rng.randint(1, len(records))
                        batches = [r for r in records[:count] if r.kind is RecordKind.BATCH]
                        oracle.taken |= {name_of(r) for r in batches}
                        oracle.advanced[stream] = records[count - 1].position
                        cursor.advance(oracle.advanced[stream])
                case "time":
                    await clock.advance(1.0)
        if rng.random() < 0.5:
            await _settle(waiting, oracle)


def _entry(rng: random.Random, oracle: Oracle) -> Entry:
    stream = rng.choice(STREAMS)
    if rng.random() < 0.1:
        samples = rng.randint(1, 50)
        oracle.gap_samples[stream] += samples
        return gap_entry(stream, Gap(GapCause.RING_OVERFLOW, 1, 2, samples, "press"))
    name = len(oracle.submitted) + 1
    size = rng.choice((8, 100, 700, rng.randint(8, 6_000)))
    schema = ENCODED_SCHEMA if stream is Stream.TELEMETRY else None
    made = entry(name, stream=stream, size=size, samples=rng.randint(0, 99), schema=schema)
    oracle.submitted[name] = made
    return made


def _forget(refused: Entry, oracle: Oracle) -> None:
    if refused.kind is RecordKind.GAP:
        oracle.gap_samples[refused.stream] -= decode_gap(refused.payload).samples or 0


async def _settle(waiting: list[tuple[asyncio.Future[None], list[Entry]]], oracle: Oracle) -> None:
    """Wait for what was submitted; what the journal acknowledges is durable from here on."""
    while waiting:
        future, entries = waiting.pop(0)
        await future
        for made in entries:
            if made.kind is RecordKind.BATCH:
                oracle.durable.add(int.from_bytes(made.payload[:8], "little"))
            else:
                samples = decode_gap(made.payload).samples or 0
                oracle.durable_gap_samples[made.stream] += samples


def simulate(seed: int) -> None:
    """Live a few lives with a power cut in each, then check everything."""
    rng = random.Random(seed)
    roomy = rng.random() < 0.6
    limits = JournalLimits(
        max_bytes=ROOMY_BYTES if roomy else TIGHT_BYTES,
        max_age_s=1e9,
        segment_bytes=rng.choice((4096, 12_288, 65_536)),
        ring_bytes=rng.choice((20_000, 1 << 20)),
    )
    oracle, disk = Oracle(), FaultyDisk()
    for _ in range(rng.randint(1, LIVES_MOST)):
        disk.cut_after(rng.randint(1, CHANGES_PER_LIFE_MOST))
        try:
            asyncio.run(_life(disk, limits, rng, oracle))
        except JournalFailed:
            assert disk.off, "only the power may fail here"
        disk = disk.reboot(rng)
    asyncio.run(_judge(disk, oracle, roomy=roomy))


async def _judge(disk: FaultyDisk, oracle: Oracle, *, roomy: bool) -> None:
    """Look at everything, with limits that let nothing go meanwhile."""
    async with Journal(DIRECTORY, PLENTY, seams(disk, seed=9)) as journal:
        for stream in sorted(set(STREAMS)):
            records = await read_all(journal, stream, 10_000)
            oracle.saw(records)
            _judge_order(records, oracle, stream)
            _judge_holes(records, journal.cursor("cloud").get(stream), roomy=roomy)
            _judge_ledger(journal, records, oracle, stream, roomy=roomy)
            if roomy:
                there = {record.position for record in records}
                missing = [p for p in oracle.seen if p.stream is stream and p not in there]
                assert not missing, f"once read, now gone: {missing}"


def _judge_order(records: list[Record], oracle: Oracle, stream: Stream) -> None:
    names = [name_of(r) for r in records if r.kind is RecordKind.BATCH]
    assert names == sorted(set(names)), "twice or out of order"
    first = min(names, default=1 << 60)
    lost = {n for n in oracle.durable if oracle.submitted[n].stream is stream and n > first}
    assert lost <= set(names), f"durable and gone: {sorted(lost - set(names))}"


def _judge_holes(records: list[Record], cursor: Position, *, roomy: bool) -> None:
    """A seq that is not there is named by a gap, unless the cursor passed it before it went."""
    gaps = [decode_gap(r.payload) for r in records if r.kind is RecordKind.GAP]
    named = {(g.epoch, seq) for g in gaps for seq in range(g.seq_from, g.seq_to + 1)}
    last: Position | None = None
    for position in (record.position for record in records):
        if last is not None and position.epoch == last.epoch:
            first = last.seq + 1
        elif last is not None or roomy or cursor.epoch < position.epoch:
            first = 1
        else:
            first = cursor.seq + 1 if cursor.epoch == position.epoch else position.seq
        holes = {(position.epoch, seq) for seq in range(first, position.seq)}
        assert holes <= named, f"nobody accounts for {holes - named}"
        last = position


def _judge_ledger(
    journal: Journal, records: list[Record], oracle: Oracle, stream: Stream, *, roomy: bool
) -> None:
    cursor = journal.cursor("cloud")
    account = journal.ledger(stream, cursor)
    parts = (account.delivered, account.pending, account.gapped, account.quarantined)
    assert min(parts) >= 0, account
    assert account.produced == sum(parts), account
    batches = [r for r in records if r.kind is RecordKind.BATCH]
    behind = [r.samples for r in batches if r.position > cursor.get(stream)]
    assert account.pending == sum(behind), account
    mine = {n: e.samples for n, e in oracle.submitted.items() if e.stream is stream}
    least = sum(samples for n, samples in mine.items() if n in oracle.durable)
    least += oracle.durable_gap_samples[stream]
    most = sum(mine.values()) + oracle.gap_samples[stream]
    assert least <= account.produced <= most, (least, account, most)
    gone = oracle.durable - {name_of(r) for r in batches}
    taken = sum(samples for n, samples in mine.items() if n in oracle.taken)
    untaken = sum(samples for n, samples in mine.items() if n in gone - oracle.taken)
    assert account.delivered <= taken, (account, taken)
    assert account.gapped >= untaken + oracle.durable_gap_samples[stream], (account, untaken)
    if roomy:
        assert account.delivered + account.pending == sum(r.samples for r in batches), account
