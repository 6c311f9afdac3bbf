"""Events as rows: what is kept, what is told again, and bytes that are none."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import asyncua.ua
import pytest
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from forebay.clock import stamp
from forebay.drivers.opcua.connection import Connection
from forebay.drivers.opcua.eventfields import event_schema
from forebay.drivers.opcua.events import EventFeed
from forebay.drivers.opcua.eventsettings import EventSettings
from forebay.drivers.opcua.eventstold import ToldEvents
from forebay.drivers.opcua.explorer import Explorer
from forebay.errors import ProtocolViolation
from forebay.model import Stream
from support.asyncua_server import SmallServer, small_server
from support.fuzz import examples
from support.opcua import connected, device
from support.seams import system_seams
from support.streams import Listener

ua: Any = asyncua.ua
T = ua.VariantType
TICKS = 133_000_000_000_000_001
"""Of 100 ns since 1601: no whole microsecond."""
TIME_NS = (TICKS - 116_444_736_000_000_000) * 100
REFRESH_START, REFRESH_END, BASE, QUEUE_OVERFLOW = 2787, 2788, 2041, 3035


def feed(told: ToldEvents | None = None, **settings: Any) -> EventFeed:
    seams = system_seams()
    spec = device("opc.tcp://127.0.0.1:1", {})
    connection = Connection(spec, spec.settings, seams)  # type: ignore[arg-type]
    return EventFeed(
        "press",
        EventSettings.model_validate(settings),
        connection,
        Explorer(connection),
        seams,
        told or ToldEvents(),
    )


def event(number: int, *, kind: int = BASE, severity: int = 500, **more: Any) -> list[Any]:
    """The fields of one event, in the order in which they are asked for."""
    null = ua.Variant(None, T.Null)
    fields = [null] * (len(event_schema("press").tags) - 1)
    fields[0] = ua.Variant(number.to_bytes(2, "big"), T.ByteString)
    fields[1] = ua.Variant(ua.NodeId(kind), T.NodeId)
    fields[2] = ua.Variant("Press", T.String)
    fields[4] = ua.Variant(ua.LocalizedText(f"event {number}"), T.LocalizedText)
    fields[5] = ua.Variant(severity, T.UInt16)
    for place, value in more.get("state", {}).items():
        fields[place] = value
    return [*fields, ua.Variant(None, T.Null)]


def encoded(*events: list[Any], ticks: int = TICKS) -> bytes:
    rows = [ua.EventFieldList(0, [*fields[:-1], ua.Variant(0, T.Int64)]) for fields in events]
    body = bytes(struct_to_binary(ua.EventNotificationList(rows)))
    # The last field of each is its time: a DateTime, which asyncua would round to microseconds.
    mark = b"\x08" + (0).to_bytes(8, "little")
    return body.replace(mark, b"\x0d" + ticks.to_bytes(8, "little"))


def told_by(source: EventFeed, body: bytes) -> list[dict[str, Any]]:
    told = source.take_in([body], stamp(system_seams().clock))
    source.taken(told.ids)
    rows = []
    for batch in told.batches:
        assert batch.stream is Stream.EVENTS
        samples = list(batch.iter_samples())
        width = len(batch.schema.tags)
        for row in range(batch.rows):
            cells = samples[row * width : (row + 1) * width]
            rows.append({s.tag.name: s.value for s in cells} | {"time_ns": cells[0].time_ns})
    return rows


def test_an_event_is_a_row_at_its_own_time_to_the_tick() -> None:
    (row,) = told_by(feed(), encoded(event(7)))
    assert row["time_ns"] == TIME_NS
    assert (row["id"], row["source"], row["message"]) == ("0007", "Press", "event 7")
    assert (row["type"], row["severity"], row["refresh"]) == ("i=2041", 500, False)
    assert row["active"] is None


def test_what_is_told_again_is_told_once() -> None:
    told = ToldEvents()
    assert len(told_by(feed(told), encoded(event(1), event(2)))) == 2
    later = feed(told)
    mark = encoded(event(90, kind=REFRESH_START), ticks=TICKS + 10)
    assert told_by(later, mark) == []
    rows = told_by(later, encoded(event(2), event(3)))
    assert [(row["id"], row["refresh"]) for row in rows] == [("0003", True)]
    live = told_by(later, encoded(event(4), ticks=TICKS + 20))
    assert [(row["id"], row["refresh"]) for row in live] == [("0004", False)]
    assert told_by(later, encoded(event(91, kind=REFRESH_END), ticks=TICKS + 30)) == []
    assert not told_by(later, encoded(event(5)))[0]["refresh"]


def test_what_nobody_answered_for_is_told_again() -> None:
    told = ToldEvents()
    feed(told).take_in([encoded(event(1))], stamp(system_seams().clock))  # and then the line breaks
    later = feed(told)
    told_by(later, encoded(event(90, kind=REFRESH_START), ticks=TICKS + 10))
    assert [row["id"] for row in told_by(later, encoded(event(1)))] == ["0001"]


def test_the_end_of_an_alarm_is_kept_whatever_its_severity() -> None:
    source = feed(min_severity=400)

    def state(*, retain: bool) -> dict[str, Any]:
        condition = ua.Variant(ua.NodeId(ua.String("Alarm"), 2), T.NodeId)
        return {"state": {7: condition, 9: ua.Variant(retain, T.Boolean)}}

    events = (
        event(1, severity=100, **state(retain=True)),
        event(2, severity=500, **state(retain=True)),
        event(3, severity=0, **state(retain=True)),
        event(4, severity=0, **state(retain=False)),
        event(5, severity=0, **state(retain=False)),
    )
    assert [row["id"] for row in told_by(source, encoded(*events))] == ["0002", "0003", "0004"]


def of_alarm(name: str, *, retain: bool = True) -> dict[str, Any]:
    condition = ua.Variant(ua.NodeId(ua.String(name), 2), T.NodeId)
    on = ua.Variant(retain, T.Boolean)
    return {"state": {7: condition, 9: on, 10: on}}


def refreshed(source: EventFeed, *told: list[Any]) -> list[dict[str, Any]]:
    """The rows of a refresh at which the server tells the events `told`."""
    rows = told_by(source, encoded(event(90, kind=REFRESH_START), ticks=TICKS + 10))
    rows += told_by(source, encoded(*told)) if told else []
    return rows + told_by(source, encoded(event(91, kind=REFRESH_END), ticks=TICKS + 30))


def test_an_alarm_that_ended_while_nobody_heard_ends_with_the_refresh() -> None:
    told = ToldEvents()
    both = [event(1, **of_alarm("One")), event(2, **of_alarm("Two"))]
    assert len(told_by(feed(told), encoded(*both))) == 2
    later = feed(told)
    (row,) = refreshed(later, both[1])
    assert row["condition_node"] == "ns=2;s=One"
    assert (row["active"], row["retain"], row["refresh"]) == (False, False, True)
    assert (row["type"], row["source"], row["id"]) == ("i=2041", "Press", None)
    assert row["time_ns"] == TIME_NS + 3000
    assert refreshed(later, both[1]) == []


def test_the_end_of_an_alarm_that_nobody_answered_for_is_told_again() -> None:
    told = ToldEvents()
    told_by(feed(told), encoded(event(1, **of_alarm("One"))))
    broken = feed(told)
    marks = [encoded(event(90, kind=REFRESH_START)), encoded(event(91, kind=REFRESH_END))]
    assert len(broken.take_in(marks, stamp(system_seams().clock)).batches) == 1
    assert [row["active"] for row in refreshed(feed(told))] == [False]


def test_a_refresh_that_lost_events_ends_no_alarm() -> None:
    told = ToldEvents()
    told_by(feed(told), encoded(event(1, **of_alarm("One"))))
    later = feed(told)
    assert [row["id"] for row in refreshed(later, event(92, kind=QUEUE_OVERFLOW))] == ["005c"]
    assert len(refreshed(later)) == 1


def test_long_ids_of_events_are_remembered_in_little_memory() -> None:
    told = ToldEvents()
    long = event(1)
    long[0] = ua.Variant(b"x" * 100_000, T.ByteString)
    other = event(2)
    other[0] = ua.Variant(b"y" + b"x" * 99_999, T.ByteString)
    source = feed(told)
    ids = source.take_in([encoded(long)], stamp(system_seams().clock)).ids
    assert [len(one) <= 64 for one in ids] == [True]
    source.taken(ids)
    assert [row["id"][:2] for row in refreshed(feed(told), long, other)] == ["79"]


def test_an_overflow_at_the_server_asks_for_everything_again() -> None:
    source = feed()
    assert told_by(source, encoded(event(1, kind=2789))) == []
    assert source.refresh_due


@pytest.mark.parametrize("body", [b"", b"\x01\x00\x00\x00", encoded(event(1))[:-9] + b"\x0d"])
def test_bytes_that_are_no_events_break_the_connection(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        told_by(feed(), body)


async def heard(endpoint: str, server: SmallServer) -> dict[str, Any]:
    """What comes of an event of a small server, which knows no alarms."""
    generator = await server.server.get_event_generator()
    spec = device(endpoint, {}, events={"period": 0.1})
    async with connected(spec) as driver, Listener(driver, {}) as listener:
        for round_ in count():  # the subscription stands at some moment
            await generator.trigger(message=f"event {round_}")
            try:
                async with asyncio.timeout(0.5):
                    await listener.until(lambda got: len(got) >= 1)
            except TimeoutError:
                continue
            break
    width = len(event_schema("press").tags)
    return {sample.tag.name: sample.value for sample in listener.samples[:width]}


async def test_a_server_without_alarms_tells_its_events() -> None:
    async with small_server() as server:
        row = await heard(server.endpoint, server)
    assert row["message"].startswith("event ")
    assert (row["type"], row["source"]) == ("BaseEventType", "Server")
    assert (row["condition"], row["active"]) == (None, None)


async def test_a_server_that_refuses_the_fields_of_alarms_is_asked_for_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    create = MonitoredItemService.create_monitored_items

    async def refuse(self: Any, params: Any, *args: Any) -> Any:
        clauses = params.ItemsToCreate[0].RequestedParameters.Filter.SelectClauses
        asked.append(len(clauses))
        if len(clauses) > 10:
            code = ua.StatusCode(ua.StatusCodes.BadEventFilterInvalid)
            return [ua.MonitoredItemCreateResult(StatusCode=code)]
        return await create(self, params, *args)

    monkeypatch.setattr(MonitoredItemService, "create_monitored_items", refuse)
    async with small_server() as server:
        row = await heard(server.endpoint, server)
    assert row["message"].startswith("event ")
    assert len(asked) == 2


SOURCE = feed()


@examples(200)
@given(st.data())
def test_damaged_events_are_events_or_a_violation(data: st.DataObject) -> None:
    body = bytearray(encoded(event(1), event(2)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        told_by(SOURCE, bytes(body))
    except ProtocolViolation:
        return
