"""Whatever is done to the wall clock, the last anchor before a row tells when it was read."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forebay.clock import Stamp, stamp
from forebay.columnar import decode_anchor, decode_batch, decode_gap, peek_schema_id
from forebay.events import CLOCK_STEPPED, Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.model import Batch, Gap, GapCause, RecordKind, Schema, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.pipeline.anchors import STEP_NS
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.testing.clock import FakeClock
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.journal.journal import Entry

S = 1_000_000_000
DEVICES = 3
SCHEMAS = [
    Schema(f"d{number}", "fast", (Tag("t", "0", ValueType.INT64),)) for number in range(DEVICES)
]
BY_ID = {schema.id: schema for schema in SCHEMAS}


class ListJournal:
    """Keeps entries, at once."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        self.entries += entries
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


class Read(NamedTuple):
    """A reading: its stamps as a driver made them. `number` is its value."""

    number: int
    began: Stamp
    received: Stamp


class World:
    """Devices whose readings wait in queues of their own until the intake takes them."""

    def __init__(self) -> None:
        self.clock, self.journal = FakeClock(), ListJournal()
        self.events = Events(structlog.get_logger())
        seams = Seams(self.clock, SystemDisk(), SystemNetwork(), random.Random(1), self.events)
        self.pipeline = Pipeline(self.journal, Shadow(SCHEMAS), {}, seams, commit_interval_s=0.25)
        self.queues: list[deque[Read]] = [deque() for _ in range(DEVICES)]
        self.reads: list[Read] = []

    def read(self, device: int, lasted_s: float = 0.0, step_s: float = 0.0) -> None:
        """Read as a driver does; the clock may be set meanwhile."""
        began_ns = self.clock.boottime_ns()
        self.clock.freeze(lasted_s / 2)
        self.clock.step_wall(step_s)
        self.clock.freeze(lasted_s / 2)
        received = stamp(self.clock)
        found = Read(len(self.reads), received.at(began_ns), received)
        self.reads.append(found)
        self.queues[device].append(found)

    async def take(self, device: int, *, sparse: bool, stamped: bool = True) -> None:
        """Let the intake have what waits: all at once as a subscription, or row by row."""
        waiting, self.queues[device] = self.queues[device], deque()
        for rows in [list(waiting)] if sparse and waiting else [[read] for read in waiting]:
            batch = self.batch(device, rows, sparse=sparse)
            await self.pipeline.accept(batch if stamped else replace(batch, boottime_ns=None))

    def batch(self, device: int, rows: Sequence[Read], *, sparse: bool) -> Batch:
        values = np.array([read.number for read in rows], np.int64)
        return Batch(
            SCHEMAS[device],
            np.array([read.began.wall_ns for read in rows], np.int64),
            np.array([read.received.wall_ns for read in rows], np.int64),
            (values if sparse else values[:, None],),
            None,
            np.zeros(len(rows), np.uint32) if sparse else None,
            np.array([read.received.boottime_ns for read in rows], np.int64),
        )

    def account(self) -> None:
        """Give a gap, one second long, that ends now."""
        offset_ns, now_ns = self.clock.read().offset_ns, self.clock.boottime_ns()
        gap = Gap(GapCause.NOT_POLLED, now_ns - S + offset_ns, now_ns + offset_ns, now_ns, "d0")
        self.pipeline.account(gap)

    def check(self) -> None:
        """Mend each row by the anchor before it, and hold that against when it was read."""
        offset_ns, seen = 0, set()
        for entry in self.journal.entries:
            if entry.kind is RecordKind.ANCHOR:
                offset_ns = decode_anchor(entry.payload).offset_ns
            elif entry.kind is RecordKind.GAP:
                gap = decode_gap(entry.payload)
                assert abs(gap.time_to_ns - offset_ns - (gap.samples or 0)) <= STEP_NS
            else:
                batch = decode_batch(entry.payload, BY_ID[peek_schema_id(entry.payload)])
                rows = zip(
                    batch.values[0].ravel().tolist(),
                    (batch.times_ns - offset_ns).tolist(),
                    (batch.received_ns - offset_ns).tolist(),
                    strict=True,
                )
                for number, began_ns, received_ns in rows:
                    seen.add(number)
                    read = self.reads[number]
                    assert abs(began_ns - read.began.boottime_ns) <= STEP_NS
                    assert abs(received_ns - read.received.boottime_ns) <= STEP_NS
        assert seen == set(range(len(self.reads)))


def anchors(world: World) -> int:
    return sum(entry.kind is RecordKind.ANCHOR for entry in world.journal.entries)


@pytest.mark.parametrize(
    ("steps", "stamped"),
    [((0, 3600, 0, -7200, 0), True), ((0, 3600, 0), False), ((0, -3600, 0), False)],
)
async def test_a_batch_is_cut_where_the_clock_was_set(
    steps: tuple[int, ...],
    stamped: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    """Without boot times too, by the age of each row, as long as the clock was set only once."""
    world = World()
    for step_s in steps:
        world.clock.step_wall(step_s)
        await world.clock.advance(0.1)
        world.read(0)
    await world.take(0, sparse=True, stamped=stamped)
    await world.pipeline.close()
    world.check()
    assert anchors(world) == 1 + sum(step_s != 0 for step_s in steps)


async def test_what_waited_behind_a_step_is_explained_by_the_clock_of_its_time() -> None:
    world = World()
    watching = asyncio.create_task(world.pipeline.watch_clock(), name="clock")
    world.read(1)
    world.clock.step_wall(3600)
    world.read(0)
    await world.take(0, sparse=False)
    world.read(2)
    world.clock.step_wall(-60)
    await world.clock.advance(2)
    for device in (1, 2):
        await world.take(device, sparse=True)
    world.read(0)
    await world.take(0, sparse=False)
    watching.cancel()
    await world.pipeline.close()
    world.check()
    assert anchors(world) == 6
    assert world.events.count(CLOCK_STEPPED) == 2, "an anchor that is put again is of no step"


async def test_what_was_not_polled_has_the_times_of_the_clock_before_it() -> None:
    world = World()
    await world.clock.advance(5)
    world.read(0)
    world.clock.step_wall(3600)
    world.account()
    await world.take(0, sparse=True)
    world.account()
    await world.pipeline.close()
    world.check()


STEPS = st.sampled_from([0.004, -0.004, 0.011, -0.011, 0.5, -0.5, 2, -2, 3600, -3600, 3e8, -3e8])
SECONDS = st.sampled_from([0.001, 0.02, 0.3, 1.0, 2.5, 30.0])
DEVICE = st.integers(0, DEVICES - 1)
ACTIONS = st.one_of(
    st.tuples(st.just("read"), DEVICE, SECONDS, st.one_of(st.just(0.0), STEPS)),
    st.tuples(st.just("take"), DEVICE, st.booleans()),
    st.tuples(st.just("step"), STEPS),
    st.tuples(st.just("pass"), SECONDS),
    st.tuples(st.just("synced"), st.booleans()),
    st.tuples(st.just("account")),
)


async def act(world: World, actions: Sequence[tuple[object, ...]]) -> None:
    watching = asyncio.create_task(world.pipeline.watch_clock(), name="clock")
    for action in actions:
        match action:
            case "read", int(device), float(lasted_s), float(step_s) | int(step_s):
                world.read(device, lasted_s, step_s)
            case "take", int(device), bool(sparse):
                await world.take(device, sparse=sparse)
            case "step", float(step_s) | int(step_s):
                world.clock.step_wall(step_s)
            case "pass", float(seconds):
                await world.clock.advance(seconds)
            case "synced", bool(synced):
                world.clock.synced = synced
            case _:
                world.account()
    for device in range(DEVICES):
        await world.take(device, sparse=True)
    watching.cancel()
    await asyncio.wait([watching])
    await world.pipeline.close()


@examples(200)
@given(st.lists(ACTIONS, max_size=40))
def test_every_row_is_mended_to_when_it_was_read(actions: list[tuple[object, ...]]) -> None:
    """Steps of any size, while a read is under way and while rows wait, of several devices."""

    async def run() -> None:
        world = World()
        await act(world, actions)
        world.check()

    asyncio.run(run())
