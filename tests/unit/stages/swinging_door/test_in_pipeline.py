"""Behind the intake: what a door held back stands under the anchor that explains its times."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import numpy as np
import structlog
from hypothesis import given
from hypothesis import strategies as st

from forebay.clock import stamp
from forebay.columnar import decode_anchor, decode_batch
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.model import Batch, RecordKind, Schema, Tag, ValueType
from forebay.net import SystemNetwork
from forebay.pipeline.anchors import STEP_NS
from forebay.pipeline.intake import Pipeline
from forebay.pipeline.shadow import Shadow
from forebay.stages.swinging_door.config import SwingingDoorSettings
from forebay.stages.swinging_door.stage import SwingingDoor
from forebay.testing.clock import FakeClock
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.journal.journal import Entry

SCHEMA = Schema("press", "fast", (Tag("boottime", "-", ValueType.INT64),))
"""Its one tag holds the time since boot at which it was read, in nanoseconds."""


class ListJournal:
    """Keeps entries, at once."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def submit(self, entries: Sequence[Entry]) -> asyncio.Future[None]:
        self.entries += entries
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


async def polled(polls: Sequence[tuple[float, float]]) -> tuple[list[Entry], list[int], int]:
    """Poll after each of some seconds, the wall clock being set by so many before.

    Gives what was journaled, when it was polled (boot time), and what the intake counted.
    """
    clock, journal = FakeClock(), ListJournal()
    seams = Seams(
        clock, SystemDisk(), SystemNetwork(), random.Random(1), Events(structlog.get_logger())
    )
    door = SwingingDoor(SwingingDoorSettings(kind="swinging_door", max_silence=600))
    pipeline = Pipeline(
        journal, Shadow([SCHEMA]), {"press": (door,)}, seams, commit_interval_s=0.25
    )
    read = []
    for waited_s, step_s in polls:
        clock.step_wall(step_s)
        clock.freeze(waited_s)
        at = stamp(clock)
        read.append(at.boottime_ns)
        wall = np.array([at.wall_ns], np.int64)
        values = np.array([[at.boottime_ns]], np.int64)
        boottime = np.array([at.boottime_ns], np.int64)
        await pipeline.accept(Batch(SCHEMA, wall, wall, (values,), boottime_ns=boottime))
    await pipeline.close()
    return journal.entries, read, pipeline.accepted_samples


def journaled(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Give each sample's value and its time, mended by the anchor before it."""
    offset_ns, found = 0, []
    for entry in entries:
        if entry.kind is RecordKind.ANCHOR:
            offset_ns = decode_anchor(entry.payload).offset_ns
        elif entry.kind is RecordKind.BATCH:
            batch = decode_batch(entry.payload, SCHEMA)
            times = (batch.times_ns - offset_ns).tolist()
            assert (batch.received_ns - offset_ns).tolist() == times
            found += list(zip(batch.values[0].ravel().tolist(), times, strict=True))
    return found


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.1, 1.0, 90.0]), st.sampled_from([0.0] * 4 + [3600.0, -60.0, -1e6])
        ),
        min_size=1,
        max_size=30,
    )
)
@examples(60)
def test_what_was_held_when_the_clock_was_set_is_told_right(
    polls: list[tuple[float, float]],
) -> None:
    """Polls of a steady ramp: only its ends, and both sides of each step, are journaled."""
    entries, read, counted = asyncio.run(polled(polls))
    found = journaled(entries)
    assert all(abs(value - time_ns) <= STEP_NS for value, time_ns in found)
    values = [value for value, _ in found]
    assert values == sorted(set(values)), "each once, in order"
    assert set(values) <= set(read)
    for number, (_, step_s) in enumerate(polls):
        if step_s and number:
            assert {read[number - 1], read[number]} <= set(values)
    assert counted == len(found) == sum(entry.samples for entry in entries)


def test_a_steady_ramp_is_its_first_sample_until_something_happens() -> None:
    entries, read, _ = asyncio.run(polled([(1.0, 0.0)] * 50))
    assert journaled(entries) == [(read[0], read[0])]
