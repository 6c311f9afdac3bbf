"""What we read from bytes is what asyncua, an encoder of another hand, wrote into them.

Any other bytes are refused.
"""

from __future__ import annotations

import struct
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncua.ua
import numpy as np
import pytest
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.opcua import binary
from forebay.drivers.opcua.binary import CodecError
from forebay.drivers.opcua.codec import (
    MAX_VALUES,
    Values,
    handle,
    publish_response,
    read_response,
)

ua: Any = asyncua.ua
"""Without its annotations, which ask for types of its own where it takes plain ones."""
EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime(1970, 1, 2), datetime(2200, 1, 1)  # noqa: DTZ001 - made aware below
T = ua.VariantType

SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (T.Boolean, st.booleans()),
    (T.SByte, st.integers(-128, 127)),
    (T.Byte, st.integers(0, 255)),
    (T.Int16, st.integers(-(2**15), 2**15 - 1)),
    (T.UInt16, st.integers(0, 2**16 - 1)),
    (T.Int32, st.integers(-(2**31), 2**31 - 1)),
    (T.UInt32, st.integers(0, 2**32 - 1)),
    (T.Int64, st.integers(-(2**63), 2**63 - 1)),
    (T.UInt64, st.integers(0, 2**64 - 1)),
    (T.Float, st.floats(width=32, allow_nan=False)),
    (T.Double, st.floats(allow_nan=False)),
    (T.String, st.text(max_size=20)),
]
OTHERS: list[Any] = [
    ua.Variant([1.0, 2.0], T.Double),
    ua.Variant([[1, 2], [3, 4]], T.Int32),
    ua.Variant(["a", "b"], T.String),
    ua.Variant(datetime(2026, 1, 2, tzinfo=UTC), T.DateTime),
    ua.Variant(uuid.UUID(int=7), T.Guid),
    ua.Variant(b"bytes", T.ByteString),
    ua.Variant(ua.XmlElement("<a/>"), T.XmlElement),
    ua.Variant(ua.NodeId(ua.String("x"), ua.Int16(3)), T.NodeId),
    ua.Variant(ua.NodeId(uuid.UUID(int=9), ua.Int16(3)), T.NodeId),
    ua.Variant(ua.StatusCode(0x80340000), T.StatusCode),
    ua.Variant(ua.QualifiedName("q", 2), T.QualifiedName),
    ua.Variant(ua.LocalizedText("t", "en"), T.LocalizedText),
    ua.Variant(ua.Argument(Name="a"), T.ExtensionObject),
    ua.Variant([ua.Argument(Name="a"), ua.Argument(Name="b")], T.ExtensionObject),
    ua.Variant(ua.DataValue(ua.Variant(1, T.Int32)), T.DataValue),
    ua.Variant([ua.Variant(1, T.Int32), ua.Variant("x", T.String)], T.Variant),
    ua.Variant(ua.DiagnosticInfo(AdditionalInfo="d", SymbolicId=3), T.DiagnosticInfo),
]


@st.composite
def data_values(draw: st.DrawFn) -> Any:
    kind, values = draw(st.sampled_from(SCALARS))
    other = st.sampled_from([*OTHERS, ua.Variant(None, T.Null)])
    variant = draw(st.one_of(values.map(lambda value: ua.Variant(value, kind)), other))
    moments = st.one_of(st.none(), st.datetimes(EARLIEST, LATEST, timezones=st.just(UTC)))
    return ua.DataValue(
        Value=draw(st.one_of(st.none(), st.just(variant))),
        StatusCode=draw(st.one_of(st.none(), st.integers(0, 2**32 - 1).map(ua.StatusCode))),
        SourceTimestamp=draw(moments),
        ServerTimestamp=draw(moments),
    )


def response(values: list[Any]) -> bytes:
    return bytes(struct_to_binary(ua.ReadResponse(Results=values)))


def notification(values: list[Any], *, sequence: int = 1) -> bytes:
    items = [ua.MonitoredItemNotification(n * 3, value) for n, value in enumerate(values)]
    message = ua.NotificationMessage(
        SequenceNumber=sequence, NotificationData=[ua.DataChangeNotification(items)]
    )
    result = ua.PublishResult(
        SubscriptionId=5, AvailableSequenceNumbers=[1, 2], NotificationMessage=message
    )
    return bytes(struct_to_binary(ua.PublishResponse(Parameters=result)))


def ticks(moment: datetime | None) -> int:
    return 0 if moment is None else (moment - EPOCH) // timedelta(microseconds=1) * 10


def check(read: Values, sent: list[Any]) -> None:
    assert len(read.handles) == len(sent)
    for place, value in enumerate(sent):
        variant = value.Value
        status = 0 if value.StatusCode is None else value.StatusCode.value
        assert read.statuses[place] == status
        assert read.source_ticks[place] == ticks(value.SourceTimestamp)
        assert read.server_ticks[place] == ticks(value.ServerTimestamp)
        if variant is None or variant.VariantType is T.Null:
            assert read.kinds[place] == binary.NULL
        elif variant.is_array:
            assert read.kinds[place] == binary.ARRAY
        else:
            assert read.kinds[place] == variant.VariantType.value
            if variant.VariantType.value <= binary.STRING:
                assert read.values[place] == variant.Value


@given(st.lists(data_values(), max_size=30))
def test_every_value_of_a_read_is_what_was_written(values: list[Any]) -> None:
    check(read_response(response(values)), values)


@given(st.lists(data_values(), max_size=30))
def test_every_value_of_a_notification_is_what_was_written(values: list[Any]) -> None:
    read = publish_response(notification(values, sequence=77))
    assert (read.subscription, read.sequence, read.keepalive, read.status) == (5, 77, False, None)
    check(read.data[0], values)
    assert read.data[0].handles.tolist() == [n * 3 for n in range(len(values))]


@given(
    st.sampled_from(SCALARS[:-1]).flatmap(
        lambda scalar: st.tuples(st.just(scalar[0]), st.lists(scalar[1], min_size=16, max_size=60))
    )
)
def test_values_of_one_layout_are_read_at_once_and_alike(drawn: tuple[Any, list[Any]]) -> None:
    kind, raw = drawn
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    values = [ua.DataValue(ua.Variant(v, kind), SourceTimestamp=moment) for v in raw]
    read = read_response(response(values))
    assert isinstance(read.values, np.ndarray)
    check(read, values)
    mixed = [*values, ua.DataValue(ua.Variant("odd one", T.String))]
    general = read_response(response(mixed))
    assert isinstance(general.values, list)
    check(general, mixed)


@pytest.mark.parametrize("count", [1, 40])
def test_picoseconds_stand_behind_their_own_time(count: int) -> None:
    """By hand, for asyncua writes them where Part 6, table 26 does not."""
    value = struct.pack("<BBdIqHqH", 0x3F, 11, 2.5, 0x40000000, 1111, 7, 2222, 9)
    body = response([])[:-8] + struct.pack("<i", count) + value * count + b"\0\0\0\0"
    read = read_response(body)
    assert list(read.values) == [2.5] * count
    assert read.statuses.tolist() == [0x40000000] * count
    assert read.source_ticks.tolist() == [1111] * count
    assert read.server_ticks.tolist() == [2222] * count


def test_a_status_change_and_a_keepalive_are_told_apart() -> None:
    ended = ua.StatusChangeNotification(Status=ua.StatusCode(0x800A0000))
    message = ua.NotificationMessage(NotificationData=[ended])
    result = ua.PublishResult(SubscriptionId=9, NotificationMessage=message)
    read = publish_response(struct_to_binary(ua.PublishResponse(Parameters=result)))
    assert (read.status, read.data, read.keepalive) == (0x800A0000, (), False)
    quiet = ua.PublishResult(SubscriptionId=9, NotificationMessage=ua.NotificationMessage(4))
    read = publish_response(struct_to_binary(ua.PublishResponse(Parameters=quiet)))
    assert (read.sequence, read.keepalive) == (4, True)


def test_a_string_that_is_not_utf_8_spoils_only_itself() -> None:
    values = [ua.DataValue(ua.Variant(text, T.String)) for text in ("good", "bad!")]
    body = response(values).replace(b"bad!", b"\xff\xfe\xfd\xfc")
    read = read_response(body)
    assert read.kinds.tolist() == [binary.STRING, binary.BAD_STRING]
    assert read.values == ["good", None]


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_or_a_codec_error(body: bytes) -> None:
    for parse in (read_response, publish_response):
        try:
            parse(body)
        except CodecError:
            continue


@given(st.lists(data_values(), min_size=1, max_size=5), st.data())
def test_a_damaged_answer_is_an_answer_or_a_codec_error(
    values: list[Any], data: st.DataObject
) -> None:
    for body, parse in (
        (response(values), read_response),
        (notification(values), publish_response),
    ):
        damaged = bytearray(body)
        for _ in range(data.draw(st.integers(1, 4))):
            damaged[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        try:
            parse(bytes(damaged[: data.draw(st.integers(1, len(body)))]))
        except CodecError:
            continue


def test_nesting_without_end_is_refused() -> None:
    head = response([])[:-8]
    body = head + b"\x01\x00\x00\x00" + b"\x01" + b"\x18" * 5000 + b"\xff\xff\xff\xff"
    with pytest.raises(CodecError, match="nested"):
        read_response(body)


def test_a_length_beyond_the_message_is_refused_before_anything_is_made() -> None:
    body = response([])[:-8] + b"\xff\xff\xff\x7f"
    with pytest.raises(CodecError, match="length"):
        read_response(body)


def test_an_answer_of_another_service_is_refused() -> None:
    one = [ua.DataValue(ua.Variant(1, T.Int32))]
    with pytest.raises(CodecError, match="type 829 where 634"):
        read_response(notification(one))
    with pytest.raises(CodecError, match="type 634 where 829"):
        publish_response(response(one))


def test_more_values_than_were_asked_for_are_refused_before_they_are_read() -> None:
    with pytest.raises(CodecError, match="3 values where there may be 2"):
        read_response(response([ua.DataValue()] * 3), 2)
    count = MAX_VALUES + 1
    body = notification([ua.DataValue()] * 23)
    stated, promised = struct.pack("<i", 23), struct.pack("<i", count)
    assert body.count(stated) == 1
    flood = body.replace(stated, promised) + bytes(count)
    with pytest.raises(CodecError, match=f"{count} values where there may be {MAX_VALUES}"):
        publish_response(flood)


def test_the_handle_that_an_answer_echoes() -> None:
    header = ua.ResponseHeader(RequestHandle=41)
    body = bytes(struct_to_binary(ua.ReadResponse(ResponseHeader=header)))
    assert handle(body) == 41
    with pytest.raises(CodecError, match="too early"):
        handle(body[:6])
