"""The fast decoder and asyncua's, side by side: on every valid message, and on damaged ones.

Where both read something it is the same; what we refuse is refused with a CodecError; and whatever
the bytes are, it takes time in proportion to them.
"""

from __future__ import annotations

import math
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncua.ua
import pytest
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import (
    struct_from_binary,
    struct_to_binary,
    variant_from_binary,
    variant_to_binary,
)
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.opcua import binary
from forebay.drivers.opcua.binary import CodecError
from forebay.drivers.opcua.codec import (
    Values,
    event_fields,
    history_response,
    publish_response,
    read_response,
)
from forebay.drivers.opcua.faults import LIBRARY_ERRORS
from support.fuzz import examples

ua: Any = asyncua.ua
T = ua.VariantType
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = datetime(1970, 1, 2), datetime(2200, 1, 1)  # noqa: DTZ001 - made aware below
MOMENTS = st.datetimes(FIRST, LAST, timezones=st.just(UTC))
NODE_IDS = st.one_of(
    st.builds(ua.NodeId, st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1)),
    st.builds(lambda s, n: ua.NodeId(ua.String(s), n), st.text(max_size=9), st.integers(0, 9)),
    st.builds(ua.NodeId, st.uuids(), st.integers(0, 9)),
    st.builds(ua.NodeId, st.binary(max_size=9), st.integers(0, 9)),
)
TEXTS = st.builds(
    ua.LocalizedText, st.one_of(st.none(), st.text(max_size=9)), st.sampled_from([None, "de"])
)
BUILTINS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (T.Boolean, st.booleans()),
    (T.SByte, st.integers(-(2**7), 2**7 - 1)),
    (T.Byte, st.integers(0, 2**8 - 1)),
    (T.Int16, st.integers(-(2**15), 2**15 - 1)),
    (T.UInt16, st.integers(0, 2**16 - 1)),
    (T.Int32, st.integers(-(2**31), 2**31 - 1)),
    (T.UInt32, st.integers(0, 2**32 - 1)),
    (T.Int64, st.integers(-(2**63), 2**63 - 1)),
    (T.UInt64, st.integers(0, 2**64 - 1)),
    (T.Float, st.floats(width=32)),
    (T.Double, st.floats()),
    (T.String, st.one_of(st.none(), st.text(max_size=12))),
    (T.DateTime, MOMENTS),
    (T.Guid, st.uuids()),
    (T.ByteString, st.binary(max_size=12)),
    (T.XmlElement, st.text(max_size=9).map(ua.XmlElement)),
    (T.NodeId, NODE_IDS),
    (T.ExpandedNodeId, NODE_IDS.map(lambda n: ua.ExpandedNodeId(n.Identifier, n.NamespaceIndex))),
    (T.StatusCode, st.integers(0, 2**32 - 1).map(ua.StatusCode)),
    (T.QualifiedName, st.builds(ua.QualifiedName, st.text(max_size=9), st.integers(0, 9))),
    (T.LocalizedText, TEXTS),
    (T.ExtensionObject, st.text(max_size=9).map(lambda t: ua.Argument(Name=t))),
    (T.DataValue, st.integers(0, 9).map(lambda n: ua.DataValue(ua.Variant(n, T.Int32)))),
    (T.DiagnosticInfo, st.text(max_size=9).map(lambda t: ua.DiagnosticInfo(AdditionalInfo=t))),
]


@st.composite
def variants(draw: st.DrawFn) -> Any:
    kind, values = draw(st.sampled_from(BUILTINS))
    shape = draw(st.sampled_from(["one", "one", "many", "matrix", "mixed"]))
    if shape == "one":
        return ua.Variant(draw(values), kind)
    if shape == "many":
        return ua.Variant(draw(st.lists(values, max_size=4)), kind, is_array=True)
    if shape == "matrix":
        wide, high = draw(st.integers(1, 3)), draw(st.integers(1, 3))
        row = st.lists(values, min_size=wide, max_size=wide)
        return ua.Variant(draw(st.lists(row, min_size=high, max_size=high)), kind)
    inner = values.map(lambda value: ua.Variant(value, kind))
    return ua.Variant(draw(st.lists(inner, min_size=1, max_size=3)), T.Variant)


@st.composite
def data_values(draw: st.DrawFn) -> Any:
    return ua.DataValue(
        Value=draw(st.one_of(st.none(), variants())),
        StatusCode=draw(st.one_of(st.none(), st.integers(0, 2**32 - 1).map(ua.StatusCode))),
        SourceTimestamp=draw(st.one_of(st.none(), MOMENTS)),
        ServerTimestamp=draw(st.one_of(st.none(), MOMENTS)),
    )


HEADER = 28
"""Bytes of a response before its own fields: what stands there is asyncua's to check."""
MESSAGES = st.lists(data_values(), max_size=6)


def read_message(values: list[Any]) -> bytes:
    return bytes(struct_to_binary(ua.ReadResponse(Results=values)))


def change_message(values: list[Any]) -> bytes:
    items = [ua.MonitoredItemNotification(n, value) for n, value in enumerate(values)]
    return _published(ua.DataChangeNotification(items))


def _published(notification: Any) -> bytes:
    message = ua.NotificationMessage(SequenceNumber=3, NotificationData=[notification])
    result = ua.PublishResult(SubscriptionId=5, NotificationMessage=message)
    return bytes(struct_to_binary(ua.PublishResponse(Parameters=result)))


def ns(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * 1000


def same(kind: int, ours: Any, theirs: Any) -> bool:  # noqa: C901, PLR0911 - a table
    """Whether our value of a kind is what asyncua's Variant holds."""
    value = theirs.Value
    if kind == binary.NULL:
        return value is None
    if kind == binary.BAD_STRING:
        return True  # asyncua replaces what is not UTF-8, and we say so
    if isinstance(ours, bytes):
        again = variant_from_binary(Buffer(ours))
        return bool(repr(again) == repr(theirs))
    if theirs.VariantType.value != kind or theirs.is_array:
        return False
    if kind == binary.DATE_TIME:
        return bool(abs(ns(value.replace(tzinfo=UTC)) - ours) < 1000)
    if kind == binary.GUID:
        return bool(uuid.UUID(ours) == value)
    if kind == binary.STATUS_CODE:
        return bool(value.value == ours)
    if kind == binary.LOCALIZED_TEXT:
        return bool((value.Text or "") == ours)
    if kind == binary.STRING:
        return bool((value or "") == ours)
    if isinstance(value, float) and math.isnan(value):
        return math.isnan(float(ours))
    return bool(value == ours)


def agree(ours: Values, theirs: list[Any]) -> None:
    assert len(ours.handles) == len(theirs)
    for place, value in enumerate(theirs):
        kind = int(ours.kinds[place])
        assert same(kind, ours.values[place], value.Value or ua.Variant(None, T.Null)), place
        code = 0 if value.StatusCode is None else value.StatusCode.value
        assert ours.statuses[place] == code
        for ticks, moment in (
            (int(ours.source_ticks[place]), value.SourceTimestamp),
            (int(ours.server_ticks[place]), value.ServerTimestamp),
        ):
            if moment is not None and FIRST < moment.replace(tzinfo=None) < LAST:
                assert (
                    abs((ticks - binary.UNIX_TICKS) * 100 - ns(moment.replace(tzinfo=UTC))) < 1000
                )


def our_change(body: bytes) -> Values | None:
    data = publish_response(body).data
    return data[0] if len(data) == 1 else None


def their_read(body: bytes) -> list[Any]:
    return list(struct_from_binary(ua.ReadResponse, Buffer(body)).Results)


def their_change(body: bytes) -> list[Any]:
    message = struct_from_binary(ua.PublishResponse, Buffer(body)).Parameters.NotificationMessage
    changes = [one for one in message.NotificationData if hasattr(one, "MonitoredItems")]
    return [item.Value for item in changes[0].MonitoredItems]


@examples(200)
@given(MESSAGES)
def test_every_built_in_type_is_read_as_asyncua_reads_it(values: list[Any]) -> None:
    body = read_message(values)
    agree(read_response(body), their_read(body))
    body = change_message(values)
    agree(publish_response(body).data[0], their_change(body))


@examples(200)
@given(MESSAGES.filter(bool), st.data())
def test_what_is_made_of_damaged_bytes_is_what_asyncua_makes_of_them(
    values: list[Any], data: st.DataObject
) -> None:
    for body, ours, theirs in (
        (read_message(values), read_response, their_read),
        (change_message(values), our_change, their_change),
    ):
        damaged = bytearray(body)
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(HEADER, len(body) - 1))] = data.draw(st.integers(0, 255))
        try:
            read = ours(bytes(damaged))
        except CodecError:
            continue
        if read is None:
            continue
        try:  # only now: asyncua has no bound on what a length may say
            expected = theirs(bytes(damaged))
        except LIBRARY_ERRORS:
            continue
        if all(v.SourcePicoseconds is v.ServerPicoseconds is None for v in expected):
            agree(read, expected)  # asyncua looks for picoseconds where Part 6 has none


@examples(200)
@given(st.lists(st.lists(variants(), max_size=4), max_size=3))
def test_events_are_read_as_they_were_sent(events: list[list[Any]]) -> None:
    fields = [ua.EventFieldList(0, event) for event in events]
    (body,) = publish_response(_published(ua.EventNotificationList(fields))).events
    found = event_fields(body)
    assert [len(event) for event in found] == [len(event) for event in events]
    for event, sent in zip(found, events, strict=True):
        for (kind, value), variant in zip(event, sent, strict=True):
            binary = Buffer(variant_to_binary(variant))
            assert same(kind, value, variant_from_binary(binary))


@examples(200)
@given(MESSAGES, st.binary(max_size=8), st.integers(0, 2**32 - 1))
def test_a_history_is_read_as_it_was_sent(values: list[Any], point: bytes, status: int) -> None:
    result = ua.HistoryReadResult(ua.StatusCode(status), point, ua.HistoryData(values))
    body = bytes(struct_to_binary(ua.HistoryReadResponse(Results=[result])))
    (one,) = history_response(body, 1)
    assert (one.status, one.point) == (status, point or None)
    sent = struct_from_binary(ua.HistoryReadResponse, Buffer(body)).Results[0].HistoryData
    agree(one.values, list(sent.DataValues))
    twice = bytes(struct_to_binary(ua.HistoryReadResponse(Results=[result, result])))
    for each in history_response(twice, 2):
        agree(each.values, list(sent.DataValues))
    with pytest.raises(CodecError, match="2 histories for 1 nodes"):
        history_response(twice, 1)


@examples(300)
@given(st.binary(max_size=200))
def test_any_bytes_are_events_and_histories_or_a_codec_error(body: bytes) -> None:
    for parse in (event_fields, lambda body: history_response(body, 1)):
        try:
            parse(body)
        except CodecError:
            continue
