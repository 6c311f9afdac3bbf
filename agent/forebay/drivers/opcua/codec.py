"""Reads the answers that carry values straight from their bytes (OPC UA Part 4, and Part 6, 5.2).

Owns the layout of the answers to Read, Publish, Republish and HistoryRead and of everything inside
them, because asyncua builds some ten objects for each value and rounds its time to microseconds.
Pure. Must not know asyncua, tags or batches.

A value that no column can hold as it is (an array, a structure) is handed on as its bytes, marked
with its kind; `parts` picks out of them what somebody wants. Its neighbours live on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.drivers.opcua.binary import (
    NULL,
    CodecError,
    extension,
    length,
    node_id,
    skip_bytes,
    skip_diagnostic,
    variant,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNIFORM_FROM = 16
_DATA_CHANGE = 811
_STATUS_CHANGE = 820
_EVENTS = 916
_HISTORY = 658
_READ_ANSWER, _PUBLISH_ANSWER, _REPUBLISH_ANSWER, _HISTORY_ANSWER = 634, 829, 835, 667
MAX_VALUES = 200_000
"""Values that one notification or history may hold: many times what is asked for at once."""
_DTYPES = {
    1: "?", 2: "i1", 3: "u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8",
    10: "<f4", 11: "<f8",
}  # fmt: skip
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")


@dataclass(frozen=True, slots=True)
class Values:
    """DataValues as parallel columns, in the order of the answer; n of them.

    `handles` (client handles; zero in a ReadResponse), `kinds`, `statuses` and the ticks (100 ns
    since 1601 UTC, 0 for none) have shape (n,). `values` is a numpy array of one kind, or a list: a
    DateTime as nanoseconds since 1970, a Guid or LocalizedText as text, the encoded Variant of an
    array and of any type that stands for itself in no column, None where there is no value.
    """

    handles: NDArray[np.uint32]
    kinds: NDArray[np.uint8]
    values: NDArray[Any] | list[Any]
    statuses: NDArray[np.uint32]
    source_ticks: NDArray[np.int64]
    server_ticks: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Notification:
    """What one PublishResponse holds.

    `data` and `events` (encoded EventNotificationLists) are empty for a keep-alive; `status` is
    that of a StatusChangeNotification, else None.
    """

    subscription: int
    sequence: int
    data: tuple[Values, ...]
    status: int | None
    keepalive: bool
    events: tuple[bytes, ...] = ()


def read_response(body: bytes, most: int = MAX_VALUES) -> Values:
    """Give the values of a ReadResponse (Part 4, 5.11.2), of which there may be `most`.

    CodecError if the bytes are no such answer.
    """
    try:
        offset = _response_header(body, _answer(body, _READ_ANSWER))
        count, offset = length(body, offset)
        _check_count(count, most)
        return _data_values(body, offset, count, tagged=False)[0]
    except (struct.error, IndexError) as error:
        raise CodecError(f"a ReadResponse ends too early: {error}") from None


def publish_response(body: bytes) -> Notification:
    """Give what a PublishResponse (Part 4, 5.14.5) holds.

    CodecError if the bytes are no such answer.
    """
    try:
        offset = _response_header(body, _answer(body, _PUBLISH_ANSWER))
        subscription = _U32.unpack_from(body, offset)[0]
        available, offset = length(body, offset + 4)
        return _message(body, offset + 4 * available + 1, subscription)
    except (struct.error, IndexError) as error:
        raise CodecError(f"a PublishResponse ends too early: {error}") from None


def republish_response(body: bytes, subscription: int) -> Notification:
    """Give what a RepublishResponse (Part 4, 5.14.6) holds, asked for `subscription`.

    CodecError if the bytes are no such answer.
    """
    try:
        return _message(
            body, _response_header(body, _answer(body, _REPUBLISH_ANSWER)), subscription
        )
    except (struct.error, IndexError) as error:
        raise CodecError(f"a RepublishResponse ends too early: {error}") from None


def _message(body: bytes, offset: int, subscription: int) -> Notification:
    """Read a NotificationMessage (Part 4, 7.26)."""
    sequence = _U32.unpack_from(body, offset)[0]
    count, offset = length(body, offset + 12)
    _check_count(count, MAX_VALUES)
    left = MAX_VALUES
    data, events, status = [], [], None
    for _ in range(count):
        kind, start, offset = extension(body, offset)
        if kind == _DATA_CHANGE:
            items, start = length(body, start)
            _check_count(items, left)
            left -= items
            values, end = _data_values(body, start, items, tagged=True)
            if end > offset:
                raise CodecError("a notification ends behind its own length")
            data.append(values)
        elif kind == _EVENTS:
            events.append(body[start:offset])
        elif kind == _STATUS_CHANGE:
            status = _U32.unpack_from(body, start)[0]
    return Notification(subscription, sequence, tuple(data), status, count == 0, tuple(events))


class History(NamedTuple):
    """What a server gave of one node's history; `point` is None at the end of what there is."""

    status: int
    point: bytes | None
    values: Values


def history_response(body: bytes, nodes: int) -> list[History]:
    """Give what a HistoryReadResponse has of each of `nodes` nodes, in their order.

    Part 4, 5.11.3, with the HistoryData of Part 11, 6.6.2. CodecError if the bytes are no such
    answer.
    """
    try:
        offset = _response_header(body, _answer(body, _HISTORY_ANSWER))
        count, offset = length(body, offset)
        if count != nodes:
            raise CodecError(f"{count} histories for {nodes} nodes")
        found: list[History] = []
        for _ in range(count):
            one, offset = _history(body, offset)
            found.append(one)
    except (struct.error, IndexError) as error:
        raise CodecError(f"a HistoryReadResponse ends too early: {error}") from None
    return found


def _history(body: bytes, offset: int) -> tuple[History, int]:
    """Read one HistoryReadResult; gives where the next begins."""
    status = _U32.unpack_from(body, offset)[0]
    size, offset = length(body, offset + 4)
    point, offset = body[offset : offset + size], offset + size
    kind, start, end = extension(body, offset)
    values = 0
    if kind == _HISTORY:
        values, start = length(body, start)
        _check_count(values, MAX_VALUES)
    found, behind = _data_values(body, start, values, tagged=False)
    if behind > end:
        raise CodecError("a history ends behind its own length")
    return History(status, point or None, found), end


def event_fields(body: bytes) -> list[list[tuple[int, Any]]]:
    """Give kind and value of each field of each event of an EventNotificationList.

    A value is as in `Values.values`. CodecError if the bytes are no such list.
    """
    try:
        count, offset = length(body, 0)
        _check_count(count, MAX_VALUES)
        left = MAX_VALUES
        events = []
        for _ in range(count):
            fields, offset = length(body, offset + 4)
            _check_count(fields, left)
            left -= fields
            event = []
            for _ in range(fields):
                kind, value, offset = variant(body, offset)
                event.append((kind, value))
            events.append(event)
    except (struct.error, IndexError) as error:
        raise CodecError(f"an event ends too early: {error}") from None
    if offset > len(body):
        raise CodecError("the last event ends behind its message")
    return events


def _answer(body: bytes, wanted: int) -> int:
    """Step over the type of an answer, which is to be the `wanted` one (Part 6, 5.2.9)."""
    kind = 0
    if body[0] == 0:
        kind = body[1]
    elif body[0] == 1 and body[1] == 0:
        kind = _U16.unpack_from(body, 2)[0]
    elif body[0] == 2 and _U16.unpack_from(body, 1)[0] == 0:
        kind = _U32.unpack_from(body, 3)[0]
    if kind != wanted:
        raise CodecError(f"an answer of type {kind} where {wanted} was asked for")
    return node_id(body, 0)


def handle(head: bytes) -> int:
    """Give the handle of a request that its answer, which begins with `head`, echoes.

    Part 4, 7.33. CodecError if the answer ends before it.
    """
    try:
        echoed: int = _U32.unpack_from(head, node_id(head, 0) + 8)[0]
    except (struct.error, IndexError) as error:
        raise CodecError(f"an answer ends too early: {error}") from None
    return echoed


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise CodecError(f"{count} values where there may be {most}")


def _response_header(body: bytes, offset: int) -> int:
    """Step over a ResponseHeader (Part 4, 7.33), whose ServiceResult the receiver has checked."""
    offset = skip_diagnostic(body, offset + 16, 0)
    count, offset = length(body, offset)
    _check_count(count, MAX_VALUES)
    for _ in range(count):
        offset = skip_bytes(body, offset)
    return extension(body, offset)[2]


def _data_values(body: bytes, offset: int, count: int, *, tagged: bool) -> tuple[Values, int]:
    if count >= _UNIFORM_FROM:
        uniform = _uniform(body, offset, count, tagged=tagged)
        if uniform is not None:
            return uniform
    handles, kinds, values, statuses, sources, servers = [], [], [], [], [], []
    for _ in range(count):
        handle = 0
        if tagged:
            handle = _U32.unpack_from(body, offset)[0]
            offset += 4
        mask = body[offset]
        offset += 1
        kind, value = NULL, None
        if mask & 0x01:
            kind, value, offset = variant(body, offset)
        status = source = server = 0
        if mask & 0x02:
            status = _U32.unpack_from(body, offset)[0]
            offset += 4
        if mask & 0x04:
            source = _I64.unpack_from(body, offset)[0]
            offset += 8
        offset += 2 if mask & 0x10 else 0
        if mask & 0x08:
            server = _I64.unpack_from(body, offset)[0]
            offset += 8
        offset += 2 if mask & 0x20 else 0
        handles.append(handle)
        kinds.append(kind)
        values.append(value)
        statuses.append(status)
        sources.append(source)
        servers.append(server)
    if offset > len(body):
        raise CodecError("the last value ends behind its message")
    columns = Values(
        np.array(handles, np.uint32),
        np.array(kinds, np.uint8),
        values,
        np.array(statuses, np.uint32),
        np.array(sources, np.int64),
        np.array(servers, np.int64),
    )
    return columns, offset


@lru_cache(maxsize=64)
def _layout(mask: int, kind: int, *, tagged: bool) -> np.dtype[Any]:
    """The record of one DataValue that has `mask` and a scalar of `kind`."""
    fields = [("handle", "<u4")] if tagged else []
    fields += [("mask", "u1"), ("kind", "u1"), ("value", _DTYPES[kind])]
    optional = (
        (0x02, "status", "<u4"),
        (0x04, "source", "<i8"),
        (0x10, "source_ps", "<u2"),
        (0x08, "server", "<i8"),
        (0x20, "server_ps", "<u2"),
    )
    return np.dtype(fields + [(name, code) for bit, name, code in optional if mask & bit])


def _uniform(body: bytes, offset: int, count: int, *, tagged: bool) -> tuple[Values, int] | None:
    """Read all values at once if each has the mask and scalar type of the first; None if not.

    That every record shows the same mask and kind proves the layout by induction: each ends where
    the next begins.
    """
    head = offset + (4 if tagged else 0)
    mask, kind = body[head], body[head + 1]
    if not mask & 0x01 or kind not in _DTYPES:
        return None
    layout = _layout(mask, kind, tagged=tagged)
    end = offset + count * layout.itemsize
    if end > len(body):
        return None
    records = np.frombuffer(body, layout, count, offset)
    if not ((records["mask"] == mask) & (records["kind"] == kind)).all():
        return None
    names = layout.names or ()
    values = records["value"]
    if kind == 1:  # a Boolean is true for any byte but zero
        values = values.view("u1") != 0
    return Values(
        records["handle"].copy() if tagged else np.zeros(count, np.uint32),
        np.full(count, kind, np.uint8),
        values.astype(values.dtype.newbyteorder("=")),
        records["status"].copy() if "status" in names else np.zeros(count, np.uint32),
        records["source"].copy() if "source" in names else np.zeros(count, np.int64),
        records["server"].copy() if "server" in names else np.zeros(count, np.int64),
    ), end
