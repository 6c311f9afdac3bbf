"""Writes one node's Value: in the type that the node has, once, and what the answer means.

Owns which built-in type a raw value becomes, and which answers leave it open whether it happened.
Must not know who may write, nor whose turn it is: the caller holds the line.
"""

from __future__ import annotations

import struct
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import numpy as np
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from forebay.clock import stamp
from forebay.drivers.opcua.address import parse_address
from forebay.drivers.opcua.datatypes import DataTypes
from forebay.drivers.opcua.explorer import Explorer
from forebay.drivers.opcua.faults import status_name
from forebay.drivers.opcua.values import BatchMaker, with_columns
from forebay.errors import DeviceError, DeviceRefused, WriteInDoubt
from forebay.model import Quality, Schema, ValueType, is_bad

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.clock import Clock
    from forebay.drivers.opcua.connection import Connection
    from forebay.interfaces import DeviceSpec, Value
    from forebay.settings import TagSettings

_BOOLEAN, _STRING, _GUID, _LOCALIZED_TEXT = 1, 12, 14, 21
_INTEGERS: Mapping[int, tuple[int, int]] = MappingProxyType(
    {
        2: (-(1 << 7), (1 << 7) - 1),
        3: (0, (1 << 8) - 1),
        4: (-(1 << 15), (1 << 15) - 1),
        5: (0, (1 << 16) - 1),
        6: (-(1 << 31), (1 << 31) - 1),
        7: (0, (1 << 32) - 1),
        8: (-(1 << 63), (1 << 63) - 1),
        9: (0, (1 << 64) - 1),
    }
)
"""SByte, Byte, Int16, UInt16, Int32, UInt32, Int64, UInt64 (Part 6, table 1) and their ranges."""
_FLOAT, _DOUBLE = 10, 11
_OF_COLUMN: Mapping[ValueType, int] = MappingProxyType(
    {
        ValueType.BOOL: _BOOLEAN,
        ValueType.INT8: 2,
        ValueType.UINT8: 3,
        ValueType.INT16: 4,
        ValueType.UINT16: 5,
        ValueType.INT32: 6,
        ValueType.UINT32: 7,
        ValueType.INT64: 8,
        ValueType.UINT64: 9,
        ValueType.FLOAT32: _FLOAT,
        ValueType.FLOAT64: _DOUBLE,
        ValueType.STRING: _STRING,
    }
)
OPEN = frozenset(
    {
        StatusCodes.BadCommunicationError,
        StatusCodes.BadDeviceFailure,
        StatusCodes.BadInternalError,
        StatusCodes.BadNoCommunication,
        StatusCodes.BadRequestTimeout,
        StatusCodes.BadTimeout,
        StatusCodes.BadUnexpectedError,
    }
)
"""What a server says that lost sight of the write on its way to what lies behind it."""


class NodeWriter:
    """Writes and reads back the tags of one device, over one connection."""

    def __init__(self, spec: DeviceSpec, connection: Connection, clock: Clock) -> None:
        """Learn the types of nodes as they are written."""
        self._spec, self._connection, self._clock = spec, connection, clock
        self._types = DataTypes(Explorer(connection))
        self._kinds: dict[str, int] = {}

    async def write(self, name: str, value: Value, due_s: float = inf) -> None:
        """See `PunctualDriver.write_by`; the type of the node is asked for first."""
        tag = self._spec.tags[name]
        node = self._node(tag)
        variant = to_variant(value, await self._kind(tag, node))
        item = ua.WriteValue(node, AttributeIds.Value, None, _plain(variant))
        parameters = ua.WriteParameters(NodesToWrite=[item])
        session = self._connection.session
        in_time(self._clock, due_s)
        try:
            statuses = await self._connection.call(f"writing {name}", session.write, parameters)
        except DeviceRefused as error:
            if error.status in OPEN:
                raise _in_doubt(str(error), error.status) from error
            raise
        except DeviceError as error:
            raise _in_doubt(str(error), error.status) from error
        _judge(statuses[0].value if len(statuses) == 1 else StatusCodes.BadUnexpectedError, name)

    async def read_back(self, name: str) -> Value | None:
        """See `WritableDriver.read_back`."""
        tag = self._spec.tags[name]
        values = await self._connection.read_values([self._node(tag)])
        maker = BatchMaker(Schema(self._spec.name, "", (tag.to_tag(),)), "gateway")
        batch = maker.sparse(with_columns(values, np.zeros(1, np.uint32)), stamp(self._clock))
        quality = 0 if batch.quality is None else int(batch.quality[0])
        if is_bad(quality):
            raise DeviceRefused(
                f"reading {name}: {status_name(quality)}",
                hint="see the server's own log",
                status=quality,
            )
        raw = batch.values[0][0]
        return cast("Value", raw.item() if hasattr(raw, "item") else raw)

    def _node(self, tag: TagSettings) -> ua.NodeId:
        address = parse_address(tag.address)
        if address.part:
            raise _refused(f"{tag.name} is a part of a value", "only a whole value can be written")
        node = self._connection.node_id(address)
        if node is None:
            raise _refused(f"{tag.name}: the server has no namespace {address.uri}", "see its log")
        return node

    async def _kind(self, tag: TagSettings, node: ua.NodeId) -> int:
        """Give the built-in type that the node's Value takes; asked once a connection.

        By its DataType; where that is abstract, or is not told, by the tag's own type.
        """
        known = self._kinds.get(tag.name)
        if known is not None:
            return known
        wanted = (AttributeIds.DataType, AttributeIds.Value)
        request = ua.ReadParameters(NodesToRead=[ua.ReadValueId(node, one) for one in wanted])
        session = self._connection.session
        try:
            answers = await self._connection.call(
                f"asking for the type of {tag.name}", session.read, request
            )
            data_type, value = (*(answer.Value for answer in answers), None, None)[:2]
            kind = 0
            if data_type is not None and isinstance(data_type.Value, ua.NodeId):
                kind = (await self._types.kinds([data_type.Value]))[data_type.Value]
        except DeviceError as error:  # nothing was sent that changes anything
            raise DeviceRefused(str(error), hint=error.hint, status=error.status) from error
        if value is not None and isinstance(value.Value, list):
            raise _refused(f"{tag.name} is an array", "only a single value can be written")
        self._kinds[tag.name] = kind or _OF_COLUMN[tag.type]
        return self._kinds[tag.name]


def in_time(clock: Clock, due_s: float) -> None:
    """Return if `due_s` (monotonic) is not over; to be asked right before something is sent."""
    if clock.monotonic_s() > due_s:
        raise DeviceRefused(
            "the server was asked about it until it was too late",
            hint="nothing was sent; allow a longer deadline",
            status=Quality.BAD_TIMEOUT,
        )


def to_variant(value: Value, kind: int) -> ua.Variant:
    """Give the Variant of a raw value in the built-in type `kind`; DeviceRefused if it has none."""
    return ua.Variant(cast("Any", _converted(value, kind)), ua.VariantType(kind))


def _converted(value: Value, kind: int) -> object:
    if isinstance(value, str):
        return _textual(value, kind)
    if isinstance(value, bool):
        if kind == _BOOLEAN:
            return value
    elif kind in (_FLOAT, _DOUBLE):
        return _floating(float(value), kind)
    elif kind in _INTEGERS and value == value // 1:
        least, most = _INTEGERS[kind]
        if least <= value <= most:
            return int(value)
    raise _misfit(value, kind)


def _textual(value: str, kind: int) -> object:
    if kind == _STRING:
        return value
    if kind == _LOCALIZED_TEXT:
        return ua.LocalizedText(value)
    if kind == _GUID:
        return _guid(value)
    raise _misfit(value, kind)


def _misfit(value: Value, kind: int) -> DeviceRefused:
    name = ua.VariantType(kind).name
    return _refused(f"the node is a {name}, which cannot hold {value!r}", "see the tag's type")


def _floating(value: float, kind: int) -> float:
    if kind == _FLOAT:
        try:
            struct.pack("<f", value)
        except OverflowError:
            raise _refused(f"the node is a Float, too small for {value!r}", "write less") from None
    return value


def _guid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _refused(f"the node is a Guid, and {text!r} is none", "write a UUID") from None


def _plain(variant: ua.Variant) -> ua.DataValue:
    """Give a DataValue of nothing but a value: servers may refuse times and status.

    They say BadWriteNotSupported then (OPC UA Part 4, 5.11.4).
    """
    return ua.DataValue(variant, StatusCode=None)


def _judge(code: int, name: str) -> None:
    """Return if the node's own status says that it happened; see `StatusCodes`."""
    if code >> 30 == 0:
        return
    message = f"writing {name}: {status_name(code)}"
    if code in OPEN or not is_bad(code):
        raise _in_doubt(message, code)
    raise DeviceRefused(message, hint="check the node's access and the user's rights", status=code)


def _in_doubt(message: str, status: int) -> WriteInDoubt:
    return WriteInDoubt(message, hint="look at the device: it may have happened", status=status)


def _refused(message: str, hint: str) -> DeviceRefused:
    return DeviceRefused(message, hint=hint, status=Quality.BAD_NOT_WRITABLE)
