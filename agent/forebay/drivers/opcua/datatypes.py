"""What the data types of a server are: which built-in type each comes down to, and its fields.

Owns the walk up the type tree (OPC UA Part 3, 8) and what a DataTypeDefinition says. Must not know
bytes (`structures` does) or tags.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from forebay.drivers.opcua.structures import Field, Structure
from forebay.model import ValueType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forebay.drivers.opcua.address import NodeAddress
    from forebay.drivers.opcua.connection import Connection
    from forebay.drivers.opcua.explorer import Explorer

STRUCTURE = 22
_ENUMERATION = 29
_INT32 = 6
_LAST_BUILTIN = 25
_ABSTRACT = (24, 26, 27, 28)
"""BaseDataType, Number, Integer, UInteger: only a value says what it is."""
_DATA_TYPES = 64
"""The NodeClass DataType as a mask."""
_MAX_DEPTH = 32
_MAX_TYPES = 10_000
_OPTIONAL, _UNION = 1, 2  # StructureType (Part 3, 8.49)
_COLUMNS = {
    1: ValueType.BOOL,
    2: ValueType.INT8,
    3: ValueType.UINT8,
    4: ValueType.INT16,
    5: ValueType.UINT16,
    6: ValueType.INT32,
    7: ValueType.UINT32,
    8: ValueType.INT64,
    9: ValueType.UINT64,
    10: ValueType.FLOAT32,
    11: ValueType.FLOAT64,
    12: ValueType.STRING,
    13: ValueType.INT64,
    14: ValueType.STRING,
    19: ValueType.UINT32,
    21: ValueType.STRING,
}


def column_type(kind: int) -> ValueType | None:
    """Give the type of the column that holds a built-in type without loss, None if none does."""
    return _COLUMNS.get(kind)


class DataTypes:
    """The types of one server, learned as they are met. Belongs to one connection."""

    def __init__(self, explorer: Explorer) -> None:
        """Begin with what the standard says of its built-in types."""
        self._explorer = explorer
        self._kinds: dict[ua.NodeId, int] = {}
        self._structures: dict[ua.NodeId, Structure | None] = {}

    async def kinds(self, types: Iterable[ua.NodeId]) -> dict[ua.NodeId, int]:
        """Give the built-in type of each data type: STRUCTURE for all structures, 0 for unknown.

        An abstract type is unknown. Raises DeviceErrors.
        """
        wanted = set(types)
        paths = {one: [one] for one in wanted if self._known(one) is None}
        for _ in range(_MAX_DEPTH):
            open_ends = {path[-1] for path in paths.values() if self._known(path[-1]) is None}
            if not open_ends or len(self._kinds) > _MAX_TYPES:
                break
            nodes = sorted(open_ends, key=str)
            parents = await self._explorer.children(
                nodes, ObjectIds.HasSubtype, _DATA_TYPES, inverse=True
            )
            above = dict(zip(nodes, parents, strict=True))
            for path in paths.values():
                found = above.get(path[-1])
                if found is None:
                    continue
                if found:
                    path.append(found[0].node)
                else:
                    self._kinds[path[-1]] = 0  # the tree ends here, and at nothing that is built in
        for path in paths.values():
            kind = self._known(path[-1]) or 0
            self._kinds.update(dict.fromkeys(path, kind))
        return {one: self._known(one) or 0 for one in wanted}

    async def structure(self, data_type: ua.NodeId, depth: int = 0) -> Structure | None:
        """Give how a structure is laid out; None if the server does not say, or says it oddly.

        Raises DeviceErrors.
        """
        if data_type in self._structures:
            return self._structures[data_type]
        self._structures[data_type] = None  # what holds itself is not laid out
        if depth > _MAX_DEPTH or len(self._structures) > _MAX_TYPES:
            return None
        (stated,) = await self._explorer.values([data_type], AttributeIds.DataTypeDefinition)
        if not isinstance(stated, ua.StructureDefinition) or int(stated.StructureType) > _UNION:
            return None  # beyond a union: fields that may hold subtypes
        written = list(stated.Fields or ())
        kinds = await self.kinds(field.DataType for field in written)
        fields: list[Field] = []
        for one in written:
            kind, inner = kinds[one.DataType], None
            if kind == STRUCTURE:
                inner = await self.structure(one.DataType, depth + 1)
            optional = bool(one.IsOptional)
            fields.append(Field(str(one.Name), kind, max(-1, int(one.ValueRank)), optional, inner))
        form = int(stated.StructureType)
        made = Structure(
            identity(stated.DefaultEncodingId),
            tuple(fields),
            optional=form == _OPTIONAL,
            union=form == _UNION,
        )
        self._structures[data_type] = made
        return made

    def _known(self, data_type: ua.NodeId) -> int | None:
        number = data_type.Identifier
        if data_type.NamespaceIndex == 0 and isinstance(number, int):
            if number in _ABSTRACT:
                return 0
            if number == _ENUMERATION:
                return _INT32
            if 1 <= number <= _LAST_BUILTIN:
                return number
        return self._kinds.get(data_type)


async def layouts(
    connection: Connection, explorer: Explorer, wanted: Iterable[NodeAddress]
) -> dict[NodeAddress, Structure]:
    """Give how the structures of these nodes are laid out, where the server says it.

    Raises DeviceErrors.
    """
    nodes = {a: node for a in wanted if (node := connection.node_id(a)) is not None}
    types = await explorer.values(list(nodes.values()), AttributeIds.DataType)
    learned, found = DataTypes(explorer), {}
    for address, data_type in zip(nodes, types, strict=True):
        layout = await learned.structure(data_type) if isinstance(data_type, ua.NodeId) else None
        if layout is not None:
            found[address] = layout
    return found


def identity(node: ua.NodeId) -> tuple[int, object]:
    """Give a NodeId as `structures` compares them."""
    return node.NamespaceIndex, node.Identifier
