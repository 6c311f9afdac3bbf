"""The fields of events that are asked for, and the columns that they become.

Owns the event filter (OPC UA Part 4, 7.22.3) and the schema of a device's events. Must not know
which events are wanted (`events` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import nodeid_from_binary

from forebay.drivers.opcua.binary import BYTE_STRING, LOCALIZED_TEXT, NODE_ID, STRING, CodecError
from forebay.drivers.opcua.explorer import standard
from forebay.drivers.opcua.faults import LIBRARY_ERRORS
from forebay.model import Schema, Tag, ValueType

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUP = "events"


class Column(NamedTuple):
    """One column: the field of the event that fills it, and the built-in type that it must have."""

    name: str
    type: ValueType
    owner: int
    path: tuple[str, ...]
    kind: int


_BASE, _CONDITION = ObjectIds.BaseEventType, ObjectIds.ConditionType
_ACKNOWLEDGED, _ALARM = ObjectIds.AcknowledgeableConditionType, ObjectIds.AlarmConditionType
COLUMNS = (
    Column("id", ValueType.STRING, _BASE, ("EventId",), BYTE_STRING),
    Column("type", ValueType.STRING, _BASE, ("EventType",), NODE_ID),
    Column("source", ValueType.STRING, _BASE, ("SourceName",), STRING),
    Column("source_node", ValueType.STRING, _BASE, ("SourceNode",), NODE_ID),
    Column("message", ValueType.STRING, _BASE, ("Message",), LOCALIZED_TEXT),
    Column("severity", ValueType.UINT16, _BASE, ("Severity",), 5),
    Column("condition", ValueType.STRING, _CONDITION, ("ConditionName",), STRING),
    Column("condition_node", ValueType.STRING, _CONDITION, (), NODE_ID),
    Column("branch", ValueType.STRING, _CONDITION, ("BranchId",), NODE_ID),
    Column("retain", ValueType.BOOL, _CONDITION, ("Retain",), 1),
    Column("active", ValueType.BOOL, _ALARM, ("ActiveState", "Id"), 1),
    Column("acked", ValueType.BOOL, _ACKNOWLEDGED, ("AckedState", "Id"), 1),
    Column("confirmed", ValueType.BOOL, _ACKNOWLEDGED, ("ConfirmedState", "Id"), 1),
    Column(
        "limit",
        ValueType.STRING,
        ObjectIds.ExclusiveLimitAlarmType,
        ("LimitState", "CurrentState"),
        LOCALIZED_TEXT,
    ),
    Column("user", ValueType.STRING, _CONDITION, ("ClientUserId",), STRING),
)
ID, TYPE, SOURCE, SOURCE_NODE, SEVERITY = 0, 1, 2, 3, 5
CONDITION, CONDITION_NODE, RETAIN, ACTIVE = 6, 7, 9, 10
"""Places in COLUMNS."""
OF_EVERY_EVENT = tuple(n for n, column in enumerate(COLUMNS) if column.owner == _BASE)
"""The columns that every server knows: it need not have alarms."""


def event_schema(device: str) -> Schema:
    """Give the schema of a device's events; a column's address is the field that fills it.

    `refresh` says that the server told again what holds, and nothing happened at this moment.
    """
    tags = [Tag(c.name, "/".join(c.path) or "NodeId", c.type) for c in COLUMNS]
    return Schema(device, GROUP, (*tags, Tag("refresh", "RefreshStartEvent", ValueType.BOOL)))


def plain(kind: int, value: Any) -> Any:  # noqa: ANN401 - one value of any kind
    """Give an encoded ByteString as bytes and a NodeId as asyncua's; others as they are.

    CodecError for what is none.
    """
    if kind == BYTE_STRING:
        return value[5:]
    if kind == NODE_ID:
        try:
            return nodeid_from_binary(Buffer(value[1:]))
        except LIBRARY_ERRORS as error:
            raise CodecError(f"a NodeId that is none: {error}") from None
    return value


def event_filter(columns: Iterable[int]) -> ua.EventFilter:
    """Give the filter that selects the fields of `columns`, and the time behind them.

    It selects no events: a server would drop the marks of a refresh, too, by it.
    """
    clauses = [_clause(COLUMNS[n].owner, COLUMNS[n].path) for n in columns]
    return ua.EventFilter(SelectClauses=[*clauses, _clause(_BASE, ("Time",))])


def _clause(owner: int, path: tuple[str, ...]) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=standard(owner),
        BrowsePath=[ua.QualifiedName(name) for name in path],
        AttributeId=AttributeIds.Value if path else AttributeIds.NodeId,
    )
