"""What happened, and the way of one value, out of journals with everything in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forebay.cli.events import document, sentence, traced
from forebay.clock import Stamp
from forebay.columnar import decode_batch, decode_schema, peek_schema_id
from forebay.drivers.opcua.eventfields import event_schema
from forebay.errors import RequestInvalid
from forebay.journal import happenings, tracing
from forebay.journal.entry import gap_entry
from forebay.journal.export import Choice
from forebay.journal.journal import Journal
from forebay.journal.offline import OfflineJournal
from forebay.model import Batch, Gap, GapCause, Position, RecordKind, Stream, ValueType
from forebay.testing.disk import FaultyDisk
from forebay.writing.audit import Deed, to_batch
from support.batches import batch_entry
from support.journal import DIRECTORY, T, read_all, seams
from support.real_journal import BEGIN, SECOND, SMALL, dense, feed, fill, open_journal

if TYPE_CHECKING:
    from forebay.journal.happenings import Happening

DEED = Deed("w1", "outcome", "write", "press/limit", "7", "root", "too hot", "good", took_ms=3.5)


def alarm(number: int, message: str, **fields: Any) -> Batch:
    """Give one event of an oven, in second `number`."""
    schema = event_schema("oven")
    fields |= {"message": message, "severity": 700}
    lanes = []
    codes = np.full((1, len(schema.tags)), 0x8000_0000, np.uint32)
    for lane in schema.lanes:
        row: list[Any] = []
        for column in lane.columns.tolist():
            given = fields.get(schema.tags[column].name)
            codes[0, column] = 0 if given is not None else codes[0, column]
            row.append(given if given is not None else "" if lane.type is ValueType.STRING else 0)
        kind = object if lane.type is ValueType.STRING else lane.type.dtype
        lanes.append(np.array([row], kind))
    times = np.array([BEGIN + number * SECOND])
    return Batch(schema, times, times, tuple(lanes), codes, stream=Stream.EVENTS)


async def made(alarms: int = 3) -> FaultyDisk:
    """Give a journal with telemetry, alarms, a deed and gaps, stopped in order."""
    disk = FaultyDisk()
    async with open_journal(disk) as log:
        await feed(log, 1, 30)
        for number in range(alarms):
            one = alarm(number, f"too hot {number}", source="burner", active=True, acked=False)
            await log.submit([batch_entry(one, Stream.EVENTS)])
        at = Stamp(BEGIN + 100 * SECOND, 0)
        await log.submit([batch_entry(to_batch(DEED, at), Stream.AUDIT)])
        lost = Gap(GapCause.UNCLEAN_SHUTDOWN, BEGIN + 200 * SECOND, BEGIN + 201 * SECOND, None)
        await log.submit([gap_entry(Stream.EVENTS, lost)])
    return disk


def newest(disk: FaultyDisk, most: int = 1000, **choice: Any) -> list[Happening]:
    before = disk.changes
    wanted = Choice(streams=choice.pop("streams", tuple(Stream)), **choice)
    found = happenings.newest(OfflineJournal(DIRECTORY, disk), wanted, most)
    assert disk.changes == before, "it only looks"
    return found


async def test_events_deeds_and_gaps_in_the_order_of_their_times() -> None:
    found = newest(await made(), device="[o!p]*", streams=happenings.STREAMS)
    told = [(one.kind, one.source, sentence(one)) for one in found if one.source != "press"]
    assert told == [
        *(
            ("event", "oven", f"[700] too hot {n} (burner, active, to be acknowledged)")
            for n in range(3)
        ),
        ("gap", "", "missing: nobody knows how much (unclean_shutdown)"),
    ]
    (deed,) = [one for one in newest(await made()) if one.kind == "deed"]
    assert sentence(deed) == "w1 GOOD: write press/limit = 7, 3.5 ms (root: too hot)"
    said = document(deed)
    assert (said["stream"], said["fields"]["reason"]) == ("audit", "too hot")


async def test_of_readings_only_what_is_missing_is_told() -> None:
    found = newest(await made(), streams=(T,))
    assert {one.kind for one in found} == {"gap"}
    assert {sentence(one) for one in found} == {"missing: 7 samples (ring_overflow)"}


async def test_the_newest_are_the_newest_whatever_many_segments_there_are() -> None:
    disk = await made(alarms=200)
    assert len(OfflineJournal(DIRECTORY, disk).segments(Stream.EVENTS)) > 3
    every = newest(disk, streams=happenings.STREAMS)
    assert newest(disk, 5, streams=happenings.STREAMS) == every[-5:]
    late = BEGIN + 190 * SECOND
    assert newest(disk, begin_ns=late, streams=happenings.STREAMS) == [
        one for one in every if one.time_ns >= late
    ]


async def test_who_follows_hears_everything_once() -> None:
    disk, choice = FaultyDisk(), Choice(streams=happenings.STREAMS)
    heard: list[Happening] = []
    passed: dict[Stream, Position] = {}
    for life in range(3):
        async with Journal(DIRECTORY, SMALL, seams(disk, seed=life)) as log:
            for number in range(life * 40, life * 40 + 40):
                await log.submit([batch_entry(alarm(number, f"n{number}"), Stream.EVENTS)])
                if number % 7 == 0:
                    fresh, passed = happenings.since(
                        OfflineJournal(DIRECTORY, disk), choice, passed
                    )
                    heard += fresh
    heard += happenings.since(OfflineJournal(DIRECTORY, disk), choice, passed)[0]
    assert [one.fields["message"] for one in heard] == [f"n{n}" for n in range(120)]
    ends = happenings.ends(OfflineJournal(DIRECTORY, disk), choice)
    assert ends == {Stream.EVENTS: heard[-1].position}


async def test_who_follows_reads_nothing_twice_where_nothing_happens() -> None:
    disk, choice = FaultyDisk(), Choice()
    await fill(disk, 1, 40)
    journal = OfflineJournal(DIRECTORY, disk)
    _, passed = happenings.since(journal, choice, {})
    assert passed == happenings.ends(journal, choice)
    assert Stream.TELEMETRY in passed
    assert happenings.since(journal, choice, passed) == ([], passed)


async def test_what_comes_while_somebody_begins_to_follow_is_told_once() -> None:
    disk, choice = FaultyDisk(), Choice(streams=happenings.STREAMS)
    async with open_journal(disk) as log:
        for number in range(3):
            await log.submit([batch_entry(alarm(number, f"n{number}"), Stream.EVENTS)])
        journal = OfflineJournal(DIRECTORY, disk)
        passed = happenings.ends(journal, choice)
        await log.submit([batch_entry(alarm(3, "n3"), Stream.EVENTS)])  # between the two looks
        before = happenings.newest(journal, choice, 2, until=passed)
        behind, _ = happenings.since(OfflineJournal(DIRECTORY, disk), choice, passed)
    assert [one.fields["message"] for one in (*before, *behind)] == ["n1", "n2", "n3"]


# --- the way of one value -------------------------------------------------------------------------


async def traced_journal() -> tuple[FaultyDisk, dict[str, Position]]:
    """Give a journal of which `cloud` has a half, and `plugin.fit` all."""
    disk = FaultyDisk()
    async with open_journal(disk) as log:
        cursors = {name: log.cursor(name) for name in ("cloud", "plugin.fit", "late")}
        await feed(log, 1, 60)
        records = await read_all(log, T, 1 << 20)
        reached = {"cloud": records[len(records) // 2].position, "plugin.fit": log.newest(T)}
        for name, position in reached.items():
            cursors[name].advance(position)
    return disk, reached


async def test_a_value_is_followed_from_the_device_to_who_has_it() -> None:
    disk, reached = await traced_journal()
    found = tracing.trace(OfflineJournal(DIRECTORY, disk), "press", "pressure")
    newest_batch = max(n for n in range(1, 60) if n % 10 in (1, 2, 4, 5, 6, 9))
    assert found.sample.time_ns >= BEGIN + newest_batch * SECOND
    assert (found.sample.tag.address, found.sample.group) == ("40002", "fast")
    assert found.anchor is not None
    assert found.anchor.state.name == "SYNCED"
    states = {one.name: (one.plugin, one.state) for one in found.consumers}
    assert states == {"cloud": (False, "waits"), "late": (False, "waits"), "fit": (True, "has it")}
    assert next(one.reached for one in found.consumers if one.name == "cloud") == reached["cloud"]
    said = traced(found)
    assert said["record"]["id"].startswith("telemetry-")
    assert said["clock"] == {"state": "synced", "error_ns": 5}


async def test_an_older_value_is_the_last_up_to_then_and_the_cloud_has_it() -> None:
    disk, _ = await traced_journal()
    journal = OfflineJournal(DIRECTORY, disk)
    until = BEGIN + 12 * SECOND
    found = tracing.trace(journal, "press", "speed", until)
    assert until - 3 * SECOND <= found.sample.time_ns <= until
    assert {one.name: one.state for one in found.consumers}["cloud"] == "has it"


async def test_what_fills_a_hole_later_is_not_newer_than_what_was_read_before() -> None:
    disk = FaultyDisk()
    async with open_journal(disk, SMALL) as log:
        for number in range(60, 140):
            await log.submit([batch_entry(dense(number))])
        for number in range(1, 40):  # as the history of a device that was away
            await log.submit([batch_entry(dense(number))])
    journal = OfflineJournal(DIRECTORY, disk)
    assert len(journal.segments(T)) > 3
    newest = tracing.trace(journal, "press", "speed").sample.time_ns
    assert newest >= BEGIN + 139 * SECOND
    until = BEGIN + 70 * SECOND
    assert until - 2 * SECOND <= tracing.trace(journal, "press", "speed", until).sample.time_ns


async def test_what_the_running_gateway_knows_is_newer_than_what_was_saved() -> None:
    disk, _ = await traced_journal()
    found = tracing.trace(OfflineJournal(DIRECTORY, disk), "press", "pressure")
    states = {one.name: one.state for one in tracing.by_now(found, {"cloud"}).consumers}
    assert states == {"cloud": "has it", "late": "waits", "fit": "has it"}


async def test_the_record_holds_just_that_sample() -> None:
    disk, _ = await traced_journal()
    journal = OfflineJournal(DIRECTORY, disk)
    for tag in ("speed", "pressure", "running", "order"):
        found = tracing.trace(journal, "press", tag)
        schemas = {}
        for file in journal.segments(T):
            content = journal.read(file)
            assert content is not None
            for record in content.records():
                if record.kind is RecordKind.SCHEMA:
                    schema = decode_schema(record.payload)
                    schemas[schema.id] = schema
        batch = decode_batch(found.record.payload, schemas[peek_schema_id(found.record.payload)])
        mine = [s for s in batch.iter_samples() if s.tag.name == tag]
        last = max(mine, key=lambda sample: sample.time_ns)
        assert (last.value, last.quality, last.time_ns) == found.sample[3:6]


async def test_what_is_not_there_is_said() -> None:
    disk, _ = await traced_journal()
    journal = OfflineJournal(DIRECTORY, disk)
    for device, tag, until in (
        ("press", "none", None),
        ("*", "speed", None),
        ("press", "speed", 5),
    ):
        with pytest.raises(RequestInvalid, match="no sample"):
            tracing.trace(journal, device, tag, until)


async def test_a_name_is_no_pattern() -> None:
    disk = FaultyDisk()
    async with open_journal(disk) as log:
        await log.submit([batch_entry(dense(1))])
    with pytest.raises(RequestInvalid):
        tracing.trace(OfflineJournal(DIRECTORY, disk), "press", "s?eed")
