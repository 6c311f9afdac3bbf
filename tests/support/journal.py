"""What tests of the journal share: seams over any disk, entries that name themselves, reading."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from forebay.columnar import encode_schema
from forebay.events import Events
from forebay.interfaces import Seams
from forebay.journal.journal import Entry, Journal, JournalLimits
from forebay.journal.writer import Job
from forebay.model import Position, Record, RecordKind, Schema, Stream, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.testing.clock import FakeClock
from forebay.testing.disk import FaultyDisk
from support.seams import system_seams

if TYPE_CHECKING:
    from forebay.clock import Clock
    from forebay.files import Disk

DIRECTORY = Path("/journal")
PLENTY = JournalLimits(
    max_bytes=1 << 30, max_age_s=1e9, segment_bytes=16 << 10, ring_bytes=64 << 20
)
SCHEMA = Schema("press", "fast", (Tag("speed", "40001", ValueType.INT16),))
ENCODED_SCHEMA = (SCHEMA.id, encode_schema(SCHEMA))
T = Stream.TELEMETRY
START = Position(T, 0, 0)


def seams(disk: Disk | None = None, clock: Clock | None = None, seed: int = 1) -> Seams:
    """Fake clock, seeded randomness, and by default a fresh disk in memory."""
    log = structlog.wrap_logger(
        None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    )
    return Seams(
        clock or FakeClock(),
        disk or FaultyDisk(),
        SystemNetwork(),
        random.Random(seed),
        Events(log),
    )


def journal(disk: Disk | None = None, limits: JournalLimits = PLENTY, **more: object) -> Journal:
    """A journal that is not open yet."""
    return Journal(DIRECTORY, limits, seams(disk, **more))  # type: ignore[arg-type]


def entry(
    name: int,
    *,
    stream: Stream = T,
    size: int = 64,
    samples: int = 10,
    schema: tuple[int, bytes] | None = None,
) -> Entry:
    """A batch that carries its name in its first eight bytes; the rest depends on the name."""
    filler = random.Random(name).randbytes(max(0, size - 8))
    return Entry(
        stream=stream,
        kind=RecordKind.BATCH,
        payload=name.to_bytes(8, "little") + filler,
        samples=samples,
        time_min_ns=1_000 + name,
        time_max_ns=2_000 + name,
        schema=schema,
    )


def name_of(record: Record) -> int:
    """The name of a batch that `entry` made."""
    return int.from_bytes(record.payload[:8], "little")


async def read_all(journal: Journal, stream: Stream = T, max_bytes: int = 4096) -> list[Record]:
    """Everything that can be read of a stream, in several reads."""
    records: list[Record] = []
    after = Position(stream, 0, 0)
    while found := await journal.read(after, max_bytes):
        records += found
        after = found[-1].position
    return records


async def journaled(directory: Path, stream: Stream = T) -> list[Record]:
    """All of a stream, telemetry by default, in a journal that nobody uses."""
    async with Journal(directory, PLENTY, system_seams()) as journal:
        return await read_all(journal, stream, 8 << 20)


async def names(journal: Journal, stream: Stream = T) -> list[int]:
    """The names of all batches of a stream."""
    return [name_of(r) for r in await read_all(journal, stream) if r.kind is RecordKind.BATCH]


async def calm(journal: Journal) -> None:
    """Let retention come to its end: what it drops or thins makes it look again."""
    writer = journal._writer  # noqa: SLF001 - nothing else knows
    idle = 0
    while idle < 3:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        writer.submit(Job(done))
        await done
        idle = 0 if writer._retainer.thinning else idle + 1  # noqa: SLF001
        await asyncio.sleep(0.001 if not idle else 0)


def segment_paths(disk: FaultyDisk, stream: Stream = T) -> list[Path]:
    """The stream's segment files, oldest first."""
    return [p for p in disk.paths() if p.parent.name == stream.value and p.suffix == ".seg"]
