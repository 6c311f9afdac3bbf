"""Calls one method: finds it, gives its arguments their types, and says what the answer means.

Owns how a method is written, and what its arguments are (OPC UA Part 3, 5.7). Must not know who may
call, nor whose turn it is: the caller holds the line.
"""

from __future__ import annotations

import re
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaprotocol_auto import Argument

from forebay.drivers.opcua.address import parse_address
from forebay.drivers.opcua.datatypes import DataTypes
from forebay.drivers.opcua.explorer import Explorer, standard
from forebay.drivers.opcua.faults import status_name
from forebay.drivers.opcua.patterns import parts_of, path_part
from forebay.drivers.opcua.write import OPEN, in_time, to_variant
from forebay.errors import DeviceError, DeviceRefused, WriteInDoubt
from forebay.model import is_bad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.clock import Clock
    from forebay.drivers.opcua.connection import Connection
    from forebay.interfaces import Value

_TWO_NODES = re.compile(r"^(?P<object>\S.*?)\s+(?P<method>(?:ns=\d+;|nsu=[^;]+;)?[isgb]=.+)$")
_OBJECT, _VARIABLE, _METHOD = 1, 2, 4
_BAD_ARGUMENTS = 0x80AB_0000  # BadInvalidArgument
_BAD_METHOD = 0x8075_0000  # BadMethodInvalid
_HOW = "write OBJECT METHOD as two NodeIds, or the path of the method as `forebay browse` shows it"


class _Method(NamedTuple):
    """A method, the object that it acts on, and name and built-in type of each argument."""

    owner: ua.NodeId
    node: ua.NodeId
    arguments: tuple[tuple[str, int], ...]


class Caller:
    """Calls the methods of one device, over one connection."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        """Learn methods as they are called."""
        self._clock = clock
        self._connection, self._explorer = connection, Explorer(connection)
        self._types = DataTypes(self._explorer)
        self._known: dict[str, _Method] = {}

    async def call(
        self, method: str, arguments: Sequence[Value], due_s: float = inf
    ) -> tuple[Value, ...]:
        """See `PunctualCallableDriver.call_by`; what the method is like is asked for first.

        `method` is `OBJECT METHOD`, two NodeIds, or a path of browse names from Objects. An output
        that is no single value comes as text.
        """
        try:
            found = await self._found(method)
        except DeviceError as error:  # nothing was sent that changes anything
            raise DeviceRefused(str(error), hint=error.hint, status=error.status) from error
        request = ua.CallMethodRequest(found.owner, found.node, _inputs(found, arguments))
        session = self._connection.session
        in_time(self._clock, due_s)
        try:
            results = await self._connection.call(f"calling {method}", session.call, [request])
        except DeviceRefused as error:
            if error.status in OPEN:
                raise _in_doubt(str(error), error.status) from error
            raise
        except DeviceError as error:
            raise _in_doubt(str(error), error.status) from error
        if len(results) != 1:
            raise _in_doubt(f"calling {method}: {len(results)} answers", 0x8001_0000)
        (result,) = results
        _judge(method, found, result)
        return tuple(_output(output) for output in result.OutputArguments or ())

    async def _found(self, method: str) -> _Method:
        """Find out what a method is; asked once a connection."""
        known = self._known.get(method)
        if known is not None:
            return known
        two = _TWO_NODES.match(method)
        if two is not None:
            owner, node = self._node(two["object"]), self._node(two["method"])
        else:
            owner, node = await self._walk(method)
        (properties,) = await self._explorer.children([node], ObjectIds.HasProperty, _VARIABLE)
        inputs = [child.node for child in properties if child.name.Name == "InputArguments"]
        stated = await self._explorer.values(inputs, AttributeIds.Value)
        listed = (stated[0] if stated else None) or []
        if not all(isinstance(one, Argument) for one in listed):
            raise _refused(method, "its arguments cannot be understood", "see the server")
        kinds = await self._types.kinds(one.DataType for one in listed)
        arguments = []
        for one in listed:
            kind = kinds[one.DataType]
            if one.ValueRank >= 0 or not kind:
                why = f"its argument {one.Name} is no single value"
                raise _refused(method, why, "such a method cannot be called from here")
            arguments.append((str(one.Name), kind))
        made = self._known[method] = _Method(owner, node, tuple(arguments))
        return made

    def _node(self, text: str) -> ua.NodeId:
        try:
            address = parse_address(text)
        except ValueError as error:
            raise _refused(text, str(error), _HOW) from None
        node = self._connection.node_id(address)
        if node is None or address.part:
            raise _refused(text, "the server does not know this namespace", _HOW)
        return node

    async def _walk(self, path: str) -> tuple[ua.NodeId, ua.NodeId]:
        """Follow a path of browse names from Objects; gives the last two nodes on it."""
        owner, node = standard(ObjectIds.RootFolder), standard(ObjectIds.ObjectsFolder)
        for part in parts_of(path):
            (children,) = await self._explorer.children(
                [node], ObjectIds.HierarchicalReferences, _OBJECT | _VARIABLE | _METHOD
            )
            fitting = [c for c in children if path_part(str(c.name.Name)) == part]
            if not fitting:
                raise _refused(path, f"there is no {part!r} on this path", _HOW)
            if len({str(child.node) for child in fitting}) > 1:
                raise _refused(path, f"there are several {part!r} on this path", _HOW)
            owner, node = node, fitting[0].node
        return owner, node


def _inputs(method: _Method, arguments: Sequence[Value]) -> list[ua.Variant]:
    if len(arguments) != len(method.arguments):
        wanted = ", ".join(f"{n} ({ua.VariantType(k).name})" for n, k in method.arguments)
        raise DeviceRefused(
            f"the method takes {len(method.arguments)} arguments, not {len(arguments)}",
            hint=f"give {wanted or 'none'}",
            status=_BAD_ARGUMENTS,
        )
    inputs = []
    for (name, kind), value in zip(method.arguments, arguments, strict=True):
        try:
            inputs.append(to_variant(value, kind))
        except DeviceRefused:
            raise DeviceRefused(
                f"argument {name} is a {ua.VariantType(kind).name}, which cannot hold {value!r}",
                hint="give it a value of that type",
                status=_BAD_ARGUMENTS,
            ) from None
    return inputs


def _judge(method: str, found: _Method, result: ua.CallMethodResult) -> None:
    """Return if the server says that the method was called, and well."""
    code = result.StatusCode.value
    if code >> 30 == 0:
        return
    message = f"calling {method}: {status_name(code)}"
    if code in OPEN or not is_bad(code):
        raise _in_doubt(message, code)
    wrong = [
        f"{name}: {status_name(one.value)}"
        for (name, _), one in zip(found.arguments, result.InputArgumentResults or (), strict=False)
        if is_bad(one.value)
    ]
    raise DeviceRefused(
        f"{message} ({', '.join(wrong)})" if wrong else message,
        hint="check the arguments, and what the user may call",
        status=code,
    )


def _output(output: ua.Variant) -> Value:
    value = output.Value
    match value:
        case bool() | int() | float() | str():
            return value
        case ua.LocalizedText():
            return value.Text or ""
        case datetime():
            return value.isoformat()
        case None:
            return ""
        case _:
            return str(value)


def _in_doubt(message: str, status: int) -> WriteInDoubt:
    return WriteInDoubt(message, hint="look at the device: it may have happened", status=status)


def _refused(method: str, why: str, hint: str) -> DeviceRefused:
    return DeviceRefused(f"{method}: {why}", hint=hint, status=_BAD_METHOD)
