"""Lists what a server has: walks down from Objects and says of each node what a tag list needs.

Owns the walk and its bounds. Must not know requests (`explorer` does).
"""

from __future__ import annotations

from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from forebay.drivers.opcua.address import NodeAddress, format_address, format_part
from forebay.drivers.opcua.datatypes import STRUCTURE, DataTypes, column_type
from forebay.drivers.opcua.explorer import standard, value_of
from forebay.drivers.opcua.patterns import Pattern, path_part
from forebay.errors import DeviceRefused
from forebay.interfaces import Found
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from forebay.drivers.opcua.address import Step
    from forebay.drivers.opcua.explorer import Child, Explorer
    from forebay.drivers.opcua.structures import Structure

MAX_FOUND = 200_000
"""Rows of one list; and nodes that are walked over for it, listed or not."""
MAX_DEPTH = 32
MAX_ELEMENTS = 10_000
"""Parts of one variable that are listed: elements of its array, fields of its structure."""
_AT_ONCE = 200
"""Nodes of one level that are asked about together, before anything of them is told."""
_OBJECT, _VARIABLE, _METHOD = 1, 2, 4
_SHOWN = _OBJECT | _VARIABLE | _METHOD
_EVENT_PATHS = (ObjectIds.HasEventSource, ObjectIds.HasNotifier)
"""References that lead to what other references lead to as well."""
_CAN_WRITE = 0x02
_MAX_UNIT, _MAX_DESCRIPTION = 32, 512
_ATTRIBUTES = (
    AttributeIds.DataType,
    AttributeIds.ValueRank,
    AttributeIds.ArrayDimensions,
    AttributeIds.UserAccessLevel,
    AttributeIds.Description,
)


class _Place(NamedTuple):
    """One node on the walk: `places` are where it stands in the pattern."""

    child: Child
    path: str
    places: frozenset[int]
    depth: int
    is_property: bool


class _Variable(NamedTuple):
    """What the server says of one variable."""

    data_type: ua.NodeId | None
    rank: int
    dimensions: tuple[int, ...]
    writable: bool
    description: str


async def browse(
    namespaces: Sequence[str], explorer: Explorer, pattern: str
) -> AsyncIterator[Found]:
    """Give what lies under Objects on paths that match `pattern`; see `BrowsableDriver.browse`.

    A node is listed under the first path that leads to it at each place of the pattern, so that
    loops end. `Server` is entered only where the pattern says its name. Raises DeviceErrors;
    DeviceRefused for a pattern that is none, or that leads over more than MAX_FOUND nodes.
    """
    try:
        compiled = Pattern(pattern)
    except ValueError as error:
        raise DeviceRefused(
            f"browsing: {error}", hint="write fewer parts", status=Quality.BAD_CONFIGURATION_ERROR
        ) from None
    async for found in _Walk(namespaces, explorer, compiled).run():
        yield found


def _too_much() -> DeviceRefused:
    return DeviceRefused(
        f"browsing: the pattern leads over more than {MAX_FOUND:,} nodes",
        hint="name more parts of the path, such as Press/** in place of **",
        status=Quality.BAD_OUT_OF_RANGE,
    )


class _Walk:
    def __init__(self, namespaces: Sequence[str], explorer: Explorer, pattern: Pattern) -> None:
        self._namespaces, self._explorer, self._pattern = namespaces, explorer, pattern
        self._types = DataTypes(explorer)
        self._seen: set[tuple[ua.NodeId, frozenset[int]]] = set()
        self._listed = 0

    async def run(self) -> AsyncIterator[Found]:
        """Walk depth first, a level's piece at a time, so that what waits stays small."""
        root = standard(ObjectIds.ObjectsFolder)
        (top,) = await self._explorer.children([root], ObjectIds.HierarchicalReferences, _SHOWN)
        waiting = [self._places(top, "", self._pattern.start(), 0)]
        while waiting:
            level = waiting.pop()
            piece, rest = level[:_AT_ONCE], level[_AT_ONCE:]
            if rest:
                waiting.append(rest)
            below = await self._below(piece)
            async for found in self._told(piece, below):
                if self._listed >= MAX_FOUND:
                    raise _too_much()
                self._listed += 1
                yield found
            for place, children in reversed(list(zip(piece, below, strict=True))):
                if place.depth < MAX_DEPTH and self._pattern.goes_on(place.places):
                    waiting.append(
                        self._places(children, place.path + "/", place.places, place.depth + 1)
                    )

    async def _below(self, piece: Sequence[_Place]) -> list[list[Child]]:
        """Give the children of those that are walked on from, or whose properties are told."""
        wanted = [
            place.child.node
            for place in piece
            if place.child.node_class == _VARIABLE or self._pattern.goes_on(place.places)
        ]
        found = await self._explorer.children(wanted, ObjectIds.HierarchicalReferences, _SHOWN)
        of_node = dict(zip(wanted, found, strict=True))
        return [of_node.get(place.child.node, []) for place in piece]

    def _places(
        self, children: Sequence[Child], above: str, places: frozenset[int], depth: int
    ) -> list[_Place]:
        """Give those children at which the pattern can go on or end, each once."""
        out = []
        for child in children:
            if child.reference in _EVENT_REFERENCES:
                continue
            part = path_part(str(child.name.Name))
            reached = self._pattern.step(places, part)
            if child.node == _SERVER and not self._pattern.names(places, part):
                reached = frozenset(p for p in reached if self._pattern.complete(frozenset([p])))
            if reached and (child.node, reached) not in self._seen:
                if len(self._seen) >= MAX_FOUND:
                    raise _too_much()
                self._seen.add((child.node, reached))
                is_property = child.reference == _HAS_PROPERTY
                out.append(_Place(child, above + part, reached, depth, is_property))
        return out

    async def _told(
        self, piece: Sequence[_Place], below: Sequence[Sequence[Child]]
    ) -> AsyncIterator[Found]:
        """Say of each place that matches what it is."""
        matching = [
            (place, children)
            for place, children in zip(piece, below, strict=True)
            if self._pattern.complete(place.places)
        ]
        variables = [entry for entry in matching if entry[0].child.node_class == _VARIABLE]
        said = dict(
            zip(
                (place.child.node for place, _ in variables),
                await self._variables([place.child.node for place, _ in variables]),
                strict=True,
            )
        )
        units = await self._units(variables)
        kinds = await self._types.kinds(v.data_type for v in said.values() if v.data_type)
        unsure = await self._unsure(said, kinds)
        for place, _ in matching:
            node = place.child.node
            if place.child.node_class != _VARIABLE:
                kind = "method" if place.child.node_class == _METHOD else "folder"
                yield Found(place.path, self._address(node), kind)
                continue
            variable = said[node]
            kind_of = kinds.get(variable.data_type, 0) if variable.data_type else 0
            value = unsure.get(node)
            if value is not None:
                kind_of = kind_of or int(value.VariantType)
                if not variable.dimensions and variable.rank != _SCALAR:
                    variable = variable._replace(dimensions=_dimensions(value))
            layout = None
            if kind_of == STRUCTURE and variable.data_type is not None:
                layout = await self._types.structure(variable.data_type)
            for found in self._rows(place, variable, units.get(node, ""), kind_of, layout):
                yield found

    def _rows(
        self, place: _Place, variable: _Variable, unit: str, kind: int, layout: Structure | None
    ) -> Iterator[Found]:
        """Give a variable, and behind it the parts of its value that can be tags."""
        node, name = place.child.node, "property" if place.is_property else "value"
        is_array = bool(variable.dimensions) or variable.rank > 0
        plain = None if is_array else column_type(kind)
        shape = f"[{','.join(map(str, variable.dimensions))}]" if is_array else ""
        yield Found(
            place.path,
            self._address(node),
            name,
            plain,
            unit if plain else "",
            writable=variable.writable,
            description=f"{shape} {variable.description}".strip()[:_MAX_DESCRIPTION],
        )
        if plain or place.is_property or not (is_array or layout):
            return
        for number, (part, part_kind) in enumerate(_parts(variable.dimensions, kind, layout)):
            part_type = column_type(part_kind)
            if number >= MAX_ELEMENTS:
                return
            if part_type is not None:
                text = format_part(part)
                joint = "" if text.startswith("[") else "."
                yield Found(
                    place.path + joint + text,
                    self._address(node, part),
                    name,
                    part_type,
                    unit,
                    description=variable.description[:_MAX_DESCRIPTION],
                )

    async def _variables(self, nodes: Sequence[ua.NodeId]) -> list[_Variable]:
        answers = await self._explorer.attributes(
            [(node, attribute) for node in nodes for attribute in _ATTRIBUTES]
        )
        out = []
        for start in range(0, len(answers), len(_ATTRIBUTES)):
            data_type, rank, lengths, access, text = (
                value_of(a) for a in answers[start : start + len(_ATTRIBUTES)]
            )
            sizes = tuple(lengths) if isinstance(lengths, list) else ()
            out.append(
                _Variable(
                    data_type if isinstance(data_type, ua.NodeId) else None,
                    rank if isinstance(rank, int) else _SCALAR,
                    sizes if all(isinstance(size, int) and size > 0 for size in sizes) else (),
                    isinstance(access, int) and bool(access & _CAN_WRITE),
                    _one_line(text.Text) if isinstance(text, ua.LocalizedText) else "",
                )
            )
        return out

    async def _units(
        self, variables: Sequence[tuple[_Place, Sequence[Child]]]
    ) -> dict[ua.NodeId, str]:
        """Read the EngineeringUnits (Part 8, 5.6.3) of those variables that have them."""
        owners: list[ua.NodeId] = []
        properties: list[ua.NodeId] = []
        for place, children in variables:
            for child in children:
                if child.reference == _HAS_PROPERTY and child.name.Name == "EngineeringUnits":
                    owners.append(place.child.node)
                    properties.append(child.node)
        units = {}
        found = await self._explorer.values(properties, AttributeIds.Value)
        for owner, unit in zip(owners, found, strict=True):
            if isinstance(unit, ua.EUInformation):
                units[owner] = _one_line(unit.DisplayName.Text)[:_MAX_UNIT]
        return units

    async def _unsure(
        self, said: dict[ua.NodeId, _Variable], kinds: dict[ua.NodeId, int]
    ) -> dict[ua.NodeId, ua.Variant]:
        """Read the values of those whose attributes leave open what they are or how many."""
        nodes = [
            node
            for node, variable in said.items()
            if (variable.rank != _SCALAR and not variable.dimensions)
            or not (variable.data_type and kinds.get(variable.data_type))
        ]
        answers = await self._explorer.attributes([(n, AttributeIds.Value) for n in nodes])
        return {
            node: answer.Value
            for node, answer in zip(nodes, answers, strict=True)
            if answer.Value is not None and answer.Value.Value is not None
        }

    def _address(self, node: ua.NodeId, part: tuple[Step, ...] = ()) -> str:
        """Give a node's address by the URI of its namespace, which outlives the index."""
        index, uri = node.NamespaceIndex, None
        if 0 < index < len(self._namespaces):
            uri = self._namespaces[index]
        identifier: Any = node.Identifier
        return format_address(NodeAddress(0 if uri else index, uri, identifier, part))


def _parts(
    dimensions: tuple[int, ...], kind: int, layout: Structure | None
) -> Iterator[tuple[tuple[Step, ...], int]]:
    """Walk the parts of a value, down to built-in types."""
    if dimensions and prod(dimensions) <= MAX_ELEMENTS:
        for indexes in product(*(range(size) for size in dimensions)):
            yield from (((indexes, *part), k) for part, k in _parts((), kind, layout))
    elif dimensions:
        return
    elif kind != STRUCTURE:
        yield (), kind
    elif layout is not None:
        for field in layout.fields:
            if field.rank < 0:
                inner = _parts((), field.kind, field.inner)
                yield from (((field.name, *part), k) for part, k in inner)


def _dimensions(value: ua.Variant) -> tuple[int, ...]:
    if not value.is_array:
        return ()
    if value.Dimensions and all(size > 0 for size in value.Dimensions):
        return tuple(int(size) for size in value.Dimensions)
    return (len(value.Value),) if value.Value else ()


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


_SCALAR = -1
_SERVER = standard(ObjectIds.Server)
_HAS_PROPERTY = standard(ObjectIds.HasProperty)
_EVENT_REFERENCES = tuple(standard(number) for number in _EVENT_PATHS)
