"""Asks a server about its nodes in bulk: attributes and references, in requests that it allows.

Owns the cutting by the server's limits, and continuation points. Must not know what the answers are
for. Rare requests only: it goes through asyncua's own encoder.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from forebay.drivers.opcua.chunks import in_chunks
from forebay.drivers.opcua.faults import status_name
from forebay.errors import DeviceRefused, ProtocolViolation
from forebay.interfaces import Urgency
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from forebay.drivers.opcua.connection import Connection
    from forebay.interfaces import Line

T = TypeVar("T")

_MOST_BROWSED = 100
"""Nodes that one Browse asks about where the server states no limit: each answer may be long."""
_REFERENCES_AT_ONCE = 1000
_CONTINUATIONS = 1000
"""How often one node's references may go on before the server is taken to go in circles."""
_HINT = "see the server's own log"
_RESULT_MASK = 1 | 4 | 8  # ReferenceType, NodeClass, BrowseName (Part 4, 5.9.2)


class Child(NamedTuple):
    """What a reference leads to."""

    node: ua.NodeId
    name: ua.QualifiedName
    node_class: int
    reference: ua.NodeId


class Explorer:
    """Asks over one connection, one request at a time, each in a turn of its own."""

    def __init__(self, connection: Connection, line: Line | None = None) -> None:
        """Ask over `connection`; without a `line` the caller holds the turn."""
        self._connection, self._line = connection, line
        self._most_browsed = 0

    async def attributes(
        self, wanted: Sequence[tuple[ua.NodeId, AttributeIds]]
    ) -> list[ua.DataValue]:
        """Read attributes, each with its own status; those of a refused request have that one's.

        Raises DeviceErrors.
        """

        async def read(piece: Sequence[tuple[ua.NodeId, AttributeIds]]) -> list[ua.DataValue]:
            request = ua.ReadParameters(
                NodesToRead=[ua.ReadValueId(node, attribute) for node, attribute in piece]
            )
            async with self._turn():
                found: list[ua.DataValue] = await self._connection.call(
                    "reading attributes", self._connection.session.read, request
                )
            return _whole(found, len(piece))

        size = self._connection.max_nodes_per_read
        pieces, worked = await in_chunks(wanted, size, read)
        self._connection.max_nodes_per_read = worked
        return _joined(pieces, lambda code: ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(code))))

    async def values(self, nodes: Sequence[ua.NodeId], attribute: AttributeIds) -> list[Any]:
        """Read one attribute of each node; None where there is none to be had."""
        found = await self.attributes([(node, attribute) for node in nodes])
        return [value_of(answer) for answer in found]

    async def children(
        self,
        nodes: Sequence[ua.NodeId],
        reference: int,
        node_classes: int,
        *,
        inverse: bool = False,
    ) -> list[list[Child]]:
        """Follow references of the type `reference` and its subtypes, of each node.

        `node_classes` is a mask of NodeClass. A node that the server will not browse has none.
        Raises DeviceErrors.
        """
        direction = ua.BrowseDirection.Inverse if inverse else ua.BrowseDirection.Forward

        async def ask(piece: Sequence[ua.NodeId]) -> list[ua.BrowseResult]:
            request = ua.BrowseParameters(
                RequestedMaxReferencesPerNode=ua.UInt32(_REFERENCES_AT_ONCE),
                NodesToBrowse=[
                    ua.BrowseDescription(
                        node,
                        direction,
                        standard(reference),
                        IncludeSubtypes=True,
                        NodeClassMask=ua.UInt32(node_classes),
                        ResultMask=ua.UInt32(_RESULT_MASK),
                    )
                    for node in piece
                ],
            )
            browse = self._connection.session.browse
            async with self._turn():
                results = await self._connection.call("browsing", browse, request)
            return _whole(results, len(piece))

        async def browse(piece: Sequence[ua.NodeId]) -> list[list[Child]]:
            results = await ask(piece)
            lists = [await self._whole_list(result) for result in results]
            for place, result in enumerate(results):
                if result.StatusCode.value == StatusCodes.BadNoContinuationPoints:
                    # The points are free again now: this one alone will get its own.
                    (alone,) = await ask([piece[place]])
                    lists[place] = await self._whole_list(alone)
            return lists

        if not self._most_browsed:
            self._most_browsed = await self._limit()
        pieces, worked = await in_chunks(nodes, self._most_browsed, browse)
        self._most_browsed = worked
        return _joined(pieces, lambda _: [])

    async def _whole_list(self, result: ua.BrowseResult) -> list[Child]:
        """Give all references of one node, following its continuation points."""
        found = [_child(reference) for reference in result.References or ()]
        more = result.ContinuationPoint
        for _ in range(_CONTINUATIONS):
            if not more:
                break
            request = ua.BrowseNextParameters(
                ReleaseContinuationPoints=False, ContinuationPoints=[more]
            )
            async with self._turn():
                answers = await self._connection.call(
                    "browsing on", self._connection.session.browse_next, request
                )
            (next_result,) = _whole(answers, 1)
            code = next_result.StatusCode
            if code is not None and code.is_bad():
                raise DeviceRefused(
                    f"browsing on: {status_name(code.value)}", hint=_HINT, status=code.value
                )
            found += [_child(reference) for reference in next_result.References or ()]
            more = next_result.ContinuationPoint
        return found

    async def _limit(self) -> int:
        node = standard(ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse)
        (stated,) = await self.values([node], AttributeIds.Value)
        told = isinstance(stated, int) and stated > 0
        return min(stated, _MOST_BROWSED) if told else _MOST_BROWSED

    def _turn(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._line is None else self._line.turn(Urgency.PROBE)


def value_of(answer: ua.DataValue) -> Any:  # noqa: ANN401 - of whatever type the server sends
    """Give what a DataValue holds, None if it is bad or empty."""
    if answer.Value is None or (answer.StatusCode is not None and answer.StatusCode.is_bad()):
        return None
    return answer.Value.Value


def _child(reference: ua.ReferenceDescription) -> Child:
    node = reference.NodeId
    plain = ua.NodeId(node.Identifier, node.NamespaceIndex, node.NodeIdType)
    return Child(plain, reference.BrowseName, int(reference.NodeClass), reference.ReferenceTypeId)


def standard(number: int) -> ua.NodeId:
    """Give a node of the standard's own namespace (Part 6, Annex A.3)."""
    return ua.NodeId(cast("Any", number))


def _whole(answers: list[T] | None, count: int) -> list[T]:
    """Give `answers` if there are `count` of them, as Part 4 demands of every service."""
    if answers is None or len(answers) != count:
        raise ProtocolViolation(
            f"{len(answers or ())} answers to {count} questions",
            hint="the server breaks OPC UA; look for a newer version of it",
            status=Quality.BAD_DECODING_ERROR,
        )
    return answers


def _joined(
    pieces: Sequence[tuple[Sequence[Any], list[T] | DeviceRefused]], missing: Callable[[int], T]
) -> list[T]:
    """Give all answers in order; `missing` makes those of a refused piece from its status."""
    found: list[T] = []
    for piece, answer in pieces:
        if isinstance(answer, DeviceRefused):
            found += [missing(answer.status) for _ in piece]
        else:
            found += answer
    return found
