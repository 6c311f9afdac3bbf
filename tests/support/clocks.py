"""A wall clock that a test sets for one process: libfaketime, the monotonic clocks left alone."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from forebay.columnar import decode_anchor, decode_batch, decode_gap, decode_schema, peek_schema_id
from forebay.control.client import AgentClient
from forebay.journal.journal import JournalLimits
from forebay.model import GapCause, RecordKind
from support.journal import calm
from support.processes import until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay.journal.journal import Journal
    from forebay.model import Anchor, Record, Schema
    from support.processes import World

NEEDS = Path(__file__).resolve().parent.parent / "testbeds/needs.tsv"
S = 1_000_000_000
YEAR_S = 365 * 86_400
DEVICES = 4
TAGS = 50
PERIOD_S = 0.1
AGING = JournalLimits(max_bytes=1 << 20, max_age_s=86_400, segment_bytes=4096, ring_bytes=1 << 20)
"""Room for all, in small segments that go after a day."""
READ_EVERY_S = 1
"""How often a process reads its clock's file; a step reaches it that late.

While libfaketime 0.9.10 reads the file, other threads see the true time: with a reading for each
call, 21 times in 20 s and 41 steps; with one a second, never in 95 s.
"""


def library() -> Path:
    """Give Debian's libfaketime; skip with the line that `scripts/setup-testbeds` prints."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        rows = NEEDS.read_text(encoding="utf-8").splitlines()
        pytest.skip(dict(row.split("\t") for row in rows)["faketime"])
    return found[0]


class FakeTime:
    """The wall clock of processes started with `environment`; `set` steps it within a second."""

    def __init__(self, directory: Path, begin: str) -> None:
        """Begin as libfaketime reads it: `+SECONDS` beside the true time, or `@DATE` from there."""
        self._file = directory / "faketime"
        self._library = library()
        self._write(begin)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to live by this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(READ_EVERY_S),
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Set the clock to the true time and `seconds`."""
        self._write(f"{seconds:+d}")

    def _write(self, text: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text + "\n", encoding="ascii")
        fresh.replace(self._file)


def boottime_ns() -> int:
    """CLOCK_BOOTTIME, ns: the same in every process of the machine."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def plant() -> str:
    """Configure DEVICES simulated devices of TAGS tags, polled every PERIOD_S."""
    rows = ", ".join(
        f'{{ name = "t{i}", address = "counter", type = "int32" }}' for i in range(TAGS)
    )
    return "".join(
        f"""
[devices.d{number}]
protocol = "simulated"
tags = [{rows}]
[devices.d{number}.groups.default]
period = "{PERIOD_S * 1000:g} ms"
"""
        for number in range(DEVICES)
    )


def anchors(records: Iterable[Record]) -> list[Anchor]:
    """Give the anchors in order."""
    return [decode_anchor(r.payload) for r in records if r.kind is RecordKind.ANCHOR]


def gap_causes(records: Iterable[Record]) -> set[GapCause]:
    """Give why anything is not there."""
    return {decode_gap(r.payload).cause for r in records if r.kind is RecordKind.GAP}


def mended(records: Iterable[Record]) -> dict[str, list[int]]:
    """Give for each device when its rows were read, as boot time: by the anchor before each."""
    schemas: dict[int, Schema] = {}
    found: dict[str, list[int]] = {}
    offset_ns = 0
    for record in records:
        if record.kind is RecordKind.ANCHOR:
            anchor = decode_anchor(record.payload)
            offset_ns = anchor.wall_ns - anchor.monotonic_ns
        elif record.kind is RecordKind.SCHEMA:
            schema = decode_schema(record.payload)
            schemas[schema.id] = schema
        elif record.kind is RecordKind.BATCH:
            batch = decode_batch(record.payload, schemas[peek_schema_id(record.payload)])
            times = found.setdefault(batch.schema.source, [])
            times += (batch.times_ns - offset_ns).tolist()
    return found


class Progress(NamedTuple):
    """How far an agent is, and when (CLOCK_MONOTONIC, s)."""

    polls: int
    commits: int
    acked: int
    at_s: float


async def progress(world: World) -> Progress:
    """Ask the agent."""
    return await asyncio.to_thread(_progress, world.socket)


def _progress(socket: Path) -> Progress:
    with AgentClient(socket) as agent:
        return Progress(
            sum(device.polls for device in agent.devices().devices),
            agent.journal_status().commits,
            agent.uplinks().uplinks[0].records_acked,
            time.monotonic(),
        )


async def polled(world: World, since: Progress, count: int, timeout_s: float = 60.0) -> Progress:
    """Wait until each device was polled `count` times more on average; give how far the agent is.

    AssertionError if that takes more than `timeout_s`.
    """
    while True:
        now = await progress(world)
        if now.polls >= since.polls + count * DEVICES:
            return now
        assert now.at_s < since.at_s + timeout_s, (since, now)
        await asyncio.sleep(0.1)


async def drained(world: World) -> None:
    """Wait until the agent has delivered what it had when it was asked."""
    await until(lambda: _pending(world.socket) == 0, "all is delivered")


def _pending(socket: Path) -> int:
    with AgentClient(socket) as agent:
        return agent.uplinks().uplinks[0].pending_records


async def balanced(world: World) -> dict[str, int]:
    """Stop the agent, and give its last account of telemetry once the law holds at both ends."""
    assert await world.agent.stop() == 0, world.agent.text()[-2000:]
    lines = [json.loads(line) for line in world.agent.text().splitlines() if line[:1] == "{"]
    account = next(line for line in reversed(lines) if line["event"] == "agent_stopped")
    parts = [account[part] for part in ("delivered", "pending", "gapped", "quarantined")]
    assert account["produced"] == sum(parts), account
    verified = (await world.ask_fleet("ledger", "--verify"))["verified"]
    assert verified["sound"], verified
    assert verified["samples"] == account["delivered"], (verified, account)
    return {part: account[part] for part in ("produced", "delivered", "pending", "gapped")}


def files(log: Journal) -> list[str]:
    """Give the names of the sealed segments, oldest first."""
    return [segment.file for segment in log.segments() if segment.sealed]


async def looked(log: Journal) -> None:
    """Have the journal look at ages, as it does each minute, and wait until it has."""
    log._writer.retain()  # noqa: SLF001 - a fake clock runs ahead of the threads
    await calm(log)
