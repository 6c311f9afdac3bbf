"""The driver: polls nodes and subscribes to them over one session.

Owns what a session sees. Must not know bytes or asyncua's client (`connection` and `codec` do).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import numpy as np

from forebay.clock import stamp
from forebay.drivers.opcua.address import parse_address
from forebay.drivers.opcua.browse import browse
from forebay.drivers.opcua.chunks import in_chunks
from forebay.drivers.opcua.connection import Connection
from forebay.drivers.opcua.datatypes import layouts
from forebay.drivers.opcua.events import EventFeed
from forebay.drivers.opcua.explorer import Explorer
from forebay.drivers.opcua.history import HistoryFeed
from forebay.drivers.opcua.memory import Memory
from forebay.drivers.opcua.methods import Caller
from forebay.drivers.opcua.parts import Parts, structured
from forebay.drivers.opcua.refusals import RefusedTags
from forebay.drivers.opcua.subscription import Feed
from forebay.drivers.opcua.transport import encoded_node
from forebay.drivers.opcua.values import BatchMaker, merged, refused, with_columns
from forebay.drivers.opcua.write import NodeWriter
from forebay.errors import DeviceRefused
from forebay.interfaces import Scan, SpanLimits
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from asyncua import ua

    from forebay.clock import Clock
    from forebay.drivers.opcua.codec import Values
    from forebay.drivers.opcua.config import OpcUaSettings
    from forebay.interfaces import Block, DeviceSpec, Found, Line, Seams, Value
    from forebay.model import Batch, Schema


class OpcUaDriver:
    """Speaks OPC UA to one server; polled and streamed."""

    def __init__(self, spec: DeviceSpec, seams: Seams, line: Line) -> None:
        """Touch no network."""
        self._spec, self._device, self._seams = spec, spec.name, seams
        self._settings = cast("OpcUaSettings", spec.settings)
        self._connection = Connection(spec, self._settings, seams)
        self._explorer = Explorer(self._connection, line)
        self._memory = line.shared(Memory)
        self._writer = NodeWriter(spec, self._connection, seams.clock)
        self._caller = Caller(self._connection, seams.clock)
        self._feed: Feed | None = None

    async def connect(self) -> None:
        """See `Driver.connect`."""
        await self._connection.connect()
        if wanted := await asyncio.to_thread(structured, self._spec.schemas):
            self._connection.structures = await layouts(self._connection, self._explorer, wanted)

    async def close(self) -> None:
        """See `Driver.close`."""
        if self._feed is not None:
            await self._feed.close()
        await self._connection.close()

    def browse(self, pattern: str) -> AsyncIterator[Found]:
        """See `BrowsableDriver.browse`; parts of a path are browse names."""
        return browse(self._connection.namespaces, self._explorer, pattern)

    async def write(self, tag: str, value: Value) -> None:
        """See `WritableDriver.write`."""
        await self._writer.write(tag, value)

    async def write_by(self, tag: str, value: Value, due_s: float) -> None:
        """See `PunctualDriver.write_by`."""
        await self._writer.write(tag, value, due_s)

    async def read_back(self, tag: str) -> Value | None:
        """See `WritableDriver.read_back`."""
        return await self._writer.read_back(tag)

    async def call(self, method: str, arguments: Sequence[Value]) -> Sequence[Value]:
        """See `CallableDriver.call`; the forms of `method` are those of `methods.Caller`."""
        return await self._caller.call(method, arguments)

    async def call_by(
        self, method: str, arguments: Sequence[Value], due_s: float
    ) -> Sequence[Value]:
        """See `PunctualCallableDriver.call_by`."""
        return await self._caller.call(method, arguments, due_s)

    def spans(self, schema: Schema) -> None:  # noqa: ARG002 - the interface's name
        """Give None: nodes have no neighbours to plan with; `reader` cuts by the server's limit."""
        return

    def limits(self, area: str) -> SpanLimits:  # noqa: ARG002 - the interface's name
        """See `PolledDriver.limits`; nothing here is planned."""
        return SpanLimits(max_count=1, max_hole=0)

    def reader(self, schema: Schema, blocks: Sequence[Block]) -> NodeReader:  # noqa: ARG002 - always empty
        """See `PolledDriver.reader`."""
        nodes, missing = resolve(self._connection, schema)
        maker = BatchMaker(schema, self._settings.timestamps, self._connection.structures)
        refusals = RefusedTags(self._device, self._seams.events)
        dense = self._settings.timestamps == "gateway"
        return NodeReader(
            self._connection, nodes, missing, maker, refusals, self._seams.clock, dense=dense
        )

    @property
    def listens(self) -> bool:
        """See `ListeningDriver`: events come without groups, and the end of an idle connection."""
        return self._settings.events is not None or not self._spec.schemas

    async def stream(self, schemas: Mapping[Schema, float]) -> AsyncIterator[Batch]:
        """See `StreamedDriver.stream`.

        A notification is acknowledged when the batch after it is asked for.
        """
        if not schemas and self._settings.events is None:
            await self._connection.lost()
        feed = self._feed = Feed(
            self._connection,
            self._spec,
            self._settings,
            self._seams,
            self._alarms(),
            self._history(),
            self._memory.revised,
        )
        # In a thread: what ten thousand addresses say is no reason for others to be polled late.
        groups = {
            schema: await asyncio.to_thread(resolve, self._connection, schema) for schema in schemas
        }
        for batch in await feed.open(schemas, groups):
            yield batch
        while True:
            arrival = await feed.next()
            for batch in arrival.batches:
                yield batch
            feed.taken(arrival)

    def _alarms(self) -> EventFeed | None:
        """Give the feed of events, if any are asked for."""
        settings, connection = self._settings.events, self._connection
        if settings is None:
            return None
        told = self._memory.events
        return EventFeed(self._device, settings, connection, self._explorer, self._seams, told)

    def _history(self) -> HistoryFeed | None:
        """Give what fills holes, if that is wanted."""
        if not self._settings.history:
            return None
        heard = self._memory.heard
        return HistoryFeed(self._device, self._connection, self._explorer, self._seams, heard)


class NodeReader:
    """One polled group, compiled to encoded node ids."""

    def __init__(
        self,
        connection: Connection,
        nodes: Mapping[int, ua.NodeId],
        missing: Sequence[int],
        maker: BatchMaker,
        refusals: RefusedTags,
        clock: Clock,
        *,
        dense: bool,
    ) -> None:
        """Read `nodes` (column -> node); `missing` have a namespace unknown to the server."""
        self._connection, self._clock = connection, clock
        self._maker, self._refusals = maker, refusals
        self._columns = np.array(sorted(nodes), np.uint32)
        self._nodes = [encoded_node(nodes[column]) for column in sorted(nodes)]
        self._missing, self._dense = missing, dense

    async def read(self) -> Scan:
        """See `Reader.read`.

        Gives each value under its own time; one dense row if the gateway's clock dates them.
        """
        began_ns = self._clock.boottime_ns()
        size = self._connection.max_nodes_per_read
        pieces, worked = await in_chunks(self._nodes, size, self._connection.read_encoded)
        self._connection.max_nodes_per_read = worked
        received = stamp(self._clock)
        began = received.at(began_ns)
        parts: list[Values] = []
        start = 0
        for piece, answer in pieces:
            columns = self._columns[start : start + len(piece)]
            start += len(piece)
            if isinstance(answer, DeviceRefused):
                parts.append(refused(columns.tolist(), [answer.status] * len(columns)))
            else:
                parts.append(with_columns(answer, columns))
        if self._missing:
            unknown = [int(Quality.BAD_NODE_ID_UNKNOWN)] * len(self._missing)
            parts.append(refused(self._missing, unknown))
        values = merged(parts)
        if self._dense:
            batch = self._maker.dense(values, began, received)
        else:
            batch = self._maker.sparse(values, received, began)
        self._refusals.note(batch)
        return Scan(batch)


def resolve(connection: Connection, schema: Schema) -> tuple[dict[int, ua.NodeId], list[int]]:
    """Give the node of each column that asks, and those whose namespace the server does not know.

    A node of which several columns want a part is asked for by the first of them.
    """
    nodes: dict[int, ua.NodeId] = {}
    missing: list[int] = []
    for column in Parts(schema).asking:
        node = connection.node_id(parse_address(schema.tags[column].address))
        if node is None:
            missing.append(column)
        else:
            nodes[column] = node
    return nodes, missing
