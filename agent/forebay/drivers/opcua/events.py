"""Events and alarms: asking for them, and the batches that they become.

Owns which events are kept, the refresh of conditions (OPC UA Part 9, 5.5.7), and which event was
told before. Must not know the publish loop (`subscription` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from forebay.drivers.opcua.address import NodeAddress, format_address, parse_address
from forebay.drivers.opcua.binary import (
    DATE_TIME,
    CodecError,
)
from forebay.drivers.opcua.codec import event_fields
from forebay.drivers.opcua.eventfields import (
    ACTIVE,
    COLUMNS,
    CONDITION,
    CONDITION_NODE,
    ID,
    OF_EVERY_EVENT,
    RETAIN,
    SEVERITY,
    SOURCE,
    SOURCE_NODE,
    TYPE,
    event_filter,
    event_schema,
    plain,
)
from forebay.drivers.opcua.eventstold import short
from forebay.drivers.opcua.explorer import standard
from forebay.drivers.opcua.faults import FILTER_STATUSES, status_name, translate
from forebay.errors import DeviceRefused
from forebay.events import EVENTS_REFUSED
from forebay.model import MAX_STRING_BYTES, Batch, Stream, ValueType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.clock import Stamp
    from forebay.drivers.opcua.connection import Connection
    from forebay.drivers.opcua.eventsettings import EventSettings
    from forebay.drivers.opcua.eventstold import ToldEvents
    from forebay.drivers.opcua.explorer import Explorer
    from forebay.interfaces import Seams

_BAD_NO_DATA = 0x809B_0000
_OBJECT_TYPES = 8
"""The NodeClass ObjectType as a mask."""
_FILTER_REFUSED = FILTER_STATUSES | {StatusCodes.BadEventFilterInvalid}
_MAX_TYPES = 10_000
_MAX_TYPE_DEPTH = 32


_END = b"end of "
"""Begins what stands for an ended condition among the ids of events."""

Row = tuple[int | None, list[Any]]
"""Time (ns since 1970, None for none) and cells of one event."""


class Told(NamedTuple):
    """Batches of events, and the ids of the events in them."""

    batches: tuple[Batch, ...]
    ids: tuple[bytes, ...]


_REFRESH_START = standard(ObjectIds.RefreshStartEventType)
_REFRESH_END = standard(ObjectIds.RefreshEndEventType)
_REFRESH_REQUIRED = standard(ObjectIds.RefreshRequiredEventType)
_OVERFLOW = standard(ObjectIds.EventQueueOverflowEventType)
_OF_CONDITION = (TYPE, SOURCE, SOURCE_NODE, CONDITION, CONDITION_NODE)
"""The columns that tell which condition has ended, when the server tells no event of it."""
_LONGEST_KEPT = 512


class EventFeed:
    """The events of one connection."""

    def __init__(
        self,
        device: str,
        settings: EventSettings,
        connection: Connection,
        explorer: Explorer,
        seams: Seams,
        told: ToldEvents,
    ) -> None:
        """Prepare; nothing is sent."""
        self.schema, self.settings = event_schema(device), settings
        self._device, self._connection, self._explorer = device, connection, explorer
        self._events, self._told = seams.events, told
        self._names: dict[ua.NodeId, str] = {}
        self._wanted: set[ua.NodeId] | None = None
        self._number = 0
        self._asked: Sequence[int] = range(len(COLUMNS))
        self._refreshing_since_ns: int | None = None
        self._untaken: dict[bytes, None] = {}
        self._unconfirmed: set[bytes] | None = None
        self._ending: dict[bytes, bytes] = {}
        self.refresh_due = self.served = self._told_refusal = False

    def refused(self, refusal: DeviceRefused) -> None:
        """Tell, once a connection, that the server gives no events."""
        if not self._told_refusal:
            self._told_refusal = True
            self._events.emit(
                EVENTS_REFUSED,
                device=self._device,
                notifier=self.settings.notifier,
                error=str(refusal),
                hint="check events.notifier: it must be a node that tells events",
            )

    async def open(self, subscription: int) -> None:
        """Let `subscription` tell events, and ask for the state of all conditions.

        Raises DeviceErrors; DeviceRefused of a server that gives no events, as yet.
        """
        self._number = subscription
        self._names = await self._subtypes(standard(ObjectIds.BaseEventType))
        if self.settings.types:
            self._wanted = set()
            for text in self.settings.types:
                node = self._connection.node_id(parse_address(text))
                if node is not None:
                    self._wanted |= {node, *await self._subtypes(node)}
        await self._ask()
        self.served = True
        self.refresh_due = self.settings.refresh

    async def refresh(self) -> None:
        """Ask for the state of all conditions, if that is due; a server without any has none."""
        if not self.refresh_due:
            return
        self.refresh_due = False
        request = ua.CallMethodRequest(
            standard(ObjectIds.ConditionType),
            standard(ObjectIds.ConditionType_ConditionRefresh),
            [ua.Variant(self._number, ua.VariantType.UInt32)],
        )
        try:
            await self._connection.call(
                "refreshing conditions", self._connection.session.call, [request]
            )
        except DeviceRefused:
            return

    def take_in(self, bodies: Sequence[bytes], received: Stamp) -> Told:
        """Give the events of EventNotificationLists that are wanted.

        Raises ProtocolViolation for bytes that are no such list.
        """
        known = len(self._untaken)
        batches = [self._batch(body, received) for body in bodies]
        ids = tuple(self._untaken)[known:]
        return Told(tuple(batch for batch in batches if batch is not None), ids)

    def _batch(self, body: bytes, received: Stamp) -> Batch | None:
        try:
            rows = [row for fields in event_fields(body) for row in self._rows(fields)]
        except ValueError as error:
            raise translate(error, "reading events") from error
        if not rows:
            return None
        times = np.array([row[0] or received.wall_ns for row in rows], np.int64)
        table = [row[1] for row in rows]
        quality = np.array(
            [[_BAD_NO_DATA if cell is None else 0 for cell in cells] for cells in table], np.uint32
        )
        lanes = []
        for lane in self.schema.lanes:
            empty: Any = "" if lane.type is ValueType.STRING else 0
            values = np.full((len(table), len(lane.columns)), empty, lane.type.dtype)
            for row, cells in enumerate(table):
                for place, column in enumerate(lane.columns.tolist()):
                    if cells[column] is not None:
                        values[row, place] = cells[column]
            lanes.append(values)
        return Batch(
            self.schema,
            times,
            np.full(len(rows), received.wall_ns, np.int64),
            tuple(lanes),
            quality if quality.any() else None,
            boottime_ns=np.full(len(rows), received.boottime_ns, np.int64),
            stream=Stream.EVENTS,
        )

    def taken(self, events: Sequence[bytes]) -> None:
        """Note that somebody answers for these events."""
        for event in events:
            self._untaken.pop(event, None)
            ended = self._ending.pop(event, None)
            if ended is None:
                self._told.add(event)
            else:
                self._told.over(ended)

    def _rows(self, fields: Sequence[tuple[int, Any]]) -> list[Row]:
        """Give time and cells of one event: none of one that is not kept, more at a refresh's end.

        CodecError if it has not the fields that were asked for.
        """
        if len(fields) != len(self._asked) + 1:
            raise CodecError(f"an event of {len(fields)} fields, not {len(self._asked) + 1}")
        raw: list[Any] = [None] * len(COLUMNS)
        for column, (kind_of, value) in zip(self._asked, fields, strict=False):
            if kind_of == COLUMNS[column].kind:
                raw[column] = plain(kind_of, value)
        time_kind, time_ns = fields[-1]
        if time_kind != DATE_TIME:
            time_ns = None
        kind = raw[TYPE]
        if kind in (_REFRESH_START, _REFRESH_END, _REFRESH_REQUIRED):
            return self._mark(kind, time_ns)
        if kind == _OVERFLOW:
            self._unconfirmed = None  # what was refreshed may be among the lost
        since_ns = self._refreshing_since_ns
        again = since_ns is not None and time_ns is not None and time_ns <= since_ns
        cells = [self._cell(column, value) for column, value in enumerate(raw)]
        if not self._kept(raw, cells) or not self._is_new(raw[ID], again=again):
            return []
        return [(time_ns, [*cells, again])]

    def _mark(self, kind: ua.NodeId, time_ns: int | None) -> list[Row]:
        """Take in an event that is a mark of a refresh, or asks for one."""
        if kind == _REFRESH_START:
            self._refreshing_since_ns = time_ns
            self._unconfirmed = set(self._told.conditions)
        elif kind == _REFRESH_END:
            unconfirmed, self._unconfirmed = self._unconfirmed, None
            self._refreshing_since_ns = None
            ended = sorted((unconfirmed or set()) & self._told.conditions.keys())
            return [self._ended(key, time_ns) for key in ended]
        else:
            self.refresh_due = self.settings.refresh
        return []

    def _ended(self, condition: bytes, time_ns: int | None) -> Row:
        """Give the row of a condition that was told, and that the server does not tell again.

        It ended while nobody was there to hear of it. `time_ns` is when that was found.
        """
        cells: list[Any] = [None] * len(COLUMNS)
        for column, cell in zip(_OF_CONDITION, self._told.conditions[condition], strict=True):
            cells[column] = cell
        cells[RETAIN] = cells[ACTIVE] = False
        mark = _END + condition
        self._untaken[mark] = None
        self._ending[mark] = condition
        return time_ns, [*cells, True]

    def _kept(self, raw: Sequence[Any], cells: Sequence[Any]) -> bool:
        """Whether an event is wanted, or follows on one that was: an alarm's end on its begin."""
        node, retained = cells[CONDITION_NODE], bool(raw[RETAIN])
        condition = short(node.encode()) if node else None
        if condition is not None:
            if self._unconfirmed is not None:
                self._unconfirmed.discard(condition)
            if self._told.follows(condition, retained=retained):
                return True
        if raw[SEVERITY] is not None and raw[SEVERITY] < self.settings.min_severity:
            return False
        if self._wanted is not None and raw[TYPE] not in self._wanted:
            return False
        if condition is not None and retained:
            self._told.begin(condition, [_brief(cells[column]) for column in _OF_CONDITION])
        return True

    def _is_new(self, event: bytes | None, *, again: bool) -> bool:
        """Whether an event was not told before; one without an id is told always."""
        if not event:
            return True
        known = short(event)
        if again and (known in self._told or known in self._untaken):
            return False
        self._untaken[known] = None
        return True

    def _cell(self, column: int, value: Any) -> Any:  # noqa: ANN401 - one value of a column's type
        if isinstance(value, bytes):
            return value[: MAX_STRING_BYTES // 2].hex()
        if isinstance(value, ua.NodeId):
            if column == TYPE and value in self._names:
                return self._names[value]
            return "" if value.is_null() else self._address(value)
        if isinstance(value, str) and len(value.encode()) > MAX_STRING_BYTES:
            return value[: MAX_STRING_BYTES // 4]
        return value

    def _address(self, node: ua.NodeId) -> str:
        namespaces, index = self._connection.namespaces, node.NamespaceIndex
        uri = namespaces[index] if 0 < index < len(namespaces) else None
        identifier: Any = node.Identifier
        return format_address(NodeAddress(0 if uri else index, uri, identifier))

    async def _subtypes(self, root: ua.NodeId) -> dict[ua.NodeId, str]:
        """Give every event type below `root` with its name."""
        found: dict[ua.NodeId, str] = {root: "BaseEventType"}
        level = [root]
        for _ in range(_MAX_TYPE_DEPTH):
            lists = await self._explorer.children(level, ObjectIds.HasSubtype, _OBJECT_TYPES)
            fresh = [child for children in lists for child in children if child.node not in found]
            found |= {child.node: str(child.name.Name) for child in fresh}
            level = [child.node for child in fresh]
            if not level or len(found) > _MAX_TYPES:
                break
        return found

    async def _ask(self) -> None:
        """Ask for events with all fields; of a server that refuses those of alarms, without."""
        try:
            await self._monitor()
        except DeviceRefused as refusal:
            if refusal.status not in _FILTER_REFUSED:
                raise
            self._asked = OF_EVERY_EVENT
            await self._monitor()

    async def _monitor(self) -> None:
        node = self._connection.node_id(parse_address(self.settings.notifier))
        if node is None:
            raise DeviceRefused(
                f"{self.settings.notifier}: the server does not know the namespace",
                hint="check the URI",
                status=0x8034_0000,
            )
        request = ua.CreateMonitoredItemsParameters(
            SubscriptionId=ua.UInt32(self._number),
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=[
                ua.MonitoredItemCreateRequest(
                    ItemToMonitor=ua.ReadValueId(node, AttributeIds.EventNotifier),
                    MonitoringMode=ua.MonitoringMode.Reporting,
                    RequestedParameters=ua.MonitoringParameters(
                        ClientHandle=ua.UInt32(0),
                        SamplingInterval=0.0,
                        Filter=event_filter(self._asked),
                        QueueSize=ua.UInt32(self.settings.queue_size),
                        DiscardOldest=True,
                    ),
                )
            ],
        )
        answers = await self._connection.call(
            "asking for events", self._connection.session.create_monitored_items, request
        )
        code = answers[0].StatusCode.value if answers else 0x8000_0000
        if code & 0x8000_0000:
            raise DeviceRefused(
                f"asking for events: {status_name(code)}", hint="see the server", status=code
            )


def _brief(cell: Any) -> Any:  # noqa: ANN401 - one value of a column's type
    """Give what is remembered of a cell: no long text."""
    return None if isinstance(cell, str) and len(cell) > _LONGEST_KEPT else cell
