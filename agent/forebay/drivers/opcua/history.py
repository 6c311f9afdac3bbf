"""Fills the hole that an outage left in a subscription from the server's own history.

Owns which holes there are, over connections, and reading them piece by piece (OPC UA Part 11,
6.5.3). Must not know the publish loop (`subscription` does).

A hole of a node reaches from the last value that was taken over to the first that came after the
outage, by the server's own time, both excluded: what is read can be neither a value that came, nor
one of a time for which nothing was missed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from forebay.clock import stamp
from forebay.drivers.opcua.binary import UNIX_TICKS
from forebay.drivers.opcua.codec import history_response
from forebay.drivers.opcua.faults import TOO_MUCH, translate
from forebay.drivers.opcua.values import merged, taken_rows, with_columns
from forebay.errors import DeviceRefused
from forebay.events import HISTORY_READ

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from forebay.drivers.opcua.codec import History, Values
    from forebay.drivers.opcua.connection import Connection
    from forebay.drivers.opcua.explorer import Explorer
    from forebay.drivers.opcua.values import BatchMaker
    from forebay.interfaces import Seams
    from forebay.model import Batch, Schema

    Came = Sequence[tuple[Schema, Values]]

FROM_HISTORY = 0x0400
"""InfoType DataValue with the historian bits Raw (Part 4, 7.39.1, and Part 11, 6.3.2).

Set in the quality of every value that was read from history.
"""
VALUES_AT_ONCE = 1000
"""Of one node. Of several, ten times as many in all, shared alike."""
NODES_AT_ONCE = 50
"""So many continuation points may the server have to keep for us, too."""
_CAN_READ_HISTORY = 0x04
_PATIENCE_S = 10.0
"""How long the first values after an outage are waited for, before holes are read without."""
_MOST_HOLES = 100_000
_AHEAD_TICKS = 86_400 * 10_000_000
"""How far ahead of our clock a time may be and still bound a hole: a day."""
_LOOKED_AT = 1000
"""Holes among which those are looked for that fit into one request."""
_SLACK_TICKS = 20_000_000
"""How much longer than its own span, and a tenth of it, that of a hole's request may be."""
_MOST_TRIES = 5
"""How often in a row a hole is asked for in vain before it is given up."""
_TRY_AGAIN_S = 10.0
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_LAST_US = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_POINT_LOST = StatusCodes.BadContinuationPointInvalid
_TRANSIENT = frozenset(
    {
        StatusCodes.BadCommunicationError,
        StatusCodes.BadInternalError,
        StatusCodes.BadNoCommunication,
        StatusCodes.BadNoContinuationPoints,
        StatusCodes.BadOutOfMemory,
        StatusCodes.BadRequestTimeout,
        StatusCodes.BadResourceUnavailable,
        StatusCodes.BadServerTooBusy,
        StatusCodes.BadTcpServerTooBusy,
        StatusCodes.BadTimeout,
        StatusCodes.BadTooManyOperations,
        StatusCodes.BadUnexpectedError,
        StatusCodes.BadWaitingForInitialData,
    }
)
"""What a server says that may have an answer later."""


@dataclass(slots=True)
class Hole:
    """What is missing of one column: ticks of the server's time, both excluded.

    `tries` counts the requests in a row that brought nothing; none is sent before `due_s`, on the
    monotonic clock. `point` is where this connection goes on reading it; `alone` that it is not
    asked for with others any more.
    """

    column: int
    after: int
    before: int
    tries: int = 0
    due_s: float = 0.0
    point: bytes | None = None
    alone: bool = False


@dataclass(slots=True)
class Heard:
    """What came of one schema's columns over all connections.

    `last` has each column's latest time in ticks, 0 for none, shape (n,); `holes` are not read yet.
    """

    last: NDArray[np.int64]
    holes: list[Hole] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a hole is read once the batch that goes with this is taken over.

    `refused` says of one that is done that it was given up, and not read to its end.
    """

    hole: Hole
    after: int
    done: bool
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far some holes of one schema are read."""

    heard: Heard
    reached: tuple[Reached, ...]


class _Group:
    """One schema on this connection."""

    def __init__(
        self, heard: Heard, nodes: Mapping[int, ua.NodeId], maker: BatchMaker, columns: set[int]
    ) -> None:
        self.heard, self.nodes, self.maker = heard, nodes, maker
        self.waiting = columns
        self._floor = heard.last.copy()

    def hole(self, column: int, before: int) -> None:
        """Note the hole that ends with the first value of `column`, if there is room for one."""
        after = int(self._floor[column])
        if before > after + 1 and len(self.heard.holes) < _MOST_HOLES:
            self.heard.holes.append(Hole(column, after, before))


class HistoryFeed:
    """The holes of one connection."""

    def __init__(
        self,
        device: str,
        connection: Connection,
        explorer: Explorer,
        seams: Seams,
        memory: dict[int, Heard],
    ) -> None:
        """`memory` has what was heard on earlier connections, by the schemas' ids."""
        self._device, self._connection, self._explorer = device, connection, explorer
        self._clock, self._events, self._memory = seams.clock, seams.events, memory
        self._groups: dict[int, _Group] = {}
        self._at_once = NODES_AT_ONCE
        self._patient_until_s = 0.0
        self._samples = self._filled = self._refused = 0

    async def open(self, schema: Schema, nodes: Mapping[int, ua.NodeId], maker: BatchMaker) -> None:
        """Find out which columns may have a hole: heard of before, and the server keeps history.

        Raises DeviceErrors.
        """
        heard = self._memory.setdefault(schema.id, Heard(np.zeros(len(schema.tags), np.int64)))
        known = [column for column in nodes if heard.last[column]]
        levels = await self._explorer.values(
            [nodes[column] for column in known], AttributeIds.UserAccessLevel
        )
        kept = {
            column
            for column, level in zip(known, levels, strict=True)
            if isinstance(level, int) and level & _CAN_READ_HISTORY
        }
        heard.holes = [replace(hole, point=None) for hole in heard.holes if hole.column in kept]
        self._groups[schema.id] = _Group(heard, nodes, maker, kept)
        self._patient_until_s = self._clock.monotonic_s() + _PATIENCE_S

    def note(self, came: Came) -> None:
        """Take in what came, though nobody answers for it yet: the end of a hole is known by it."""
        for schema, values in came:
            group = self._groups.get(schema.id)
            if group is None or not group.waiting:
                continue
            good = self._plausible(values.source_ticks)
            pairs = zip(
                values.handles[good].tolist(), values.source_ticks[good].tolist(), strict=True
            )
            for column, ticks in pairs:
                if column in group.waiting:
                    group.waiting.discard(column)
                    group.hole(column, ticks)

    def taken(self, came: Came, progress: Progress | None) -> None:
        """Note that somebody answers for values that came, or for a piece of a hole."""
        for schema, values in came:
            group = self._groups.get(schema.id)
            if group is not None:
                last = group.heard.last
                known = (values.handles < len(last)) & self._plausible(values.source_ticks)
                np.maximum.at(last, values.handles[known], values.source_ticks[known])
        if progress is not None:
            over: set[int] = set()
            for one in progress.reached:
                one.hole.after = one.after
                if one.done:
                    over.add(id(one.hole))
                    self._filled += not one.refused
                    self._refused += one.refused
            if over:
                holes = progress.heard.holes
                holes[:] = [hole for hole in holes if id(hole) not in over]

    def _plausible(self, ticks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each time may bound a hole: a date from 1970 to a day from now.

        A device that sends another has no date for that value (DateTime.MaxValue), or a clock that
        is not set; nothing that comes later would be behind it.
        """
        latest = UNIX_TICKS + self._clock.now_ns() // 100 + _AHEAD_TICKS
        return (ticks > UNIX_TICKS) & (ticks <= latest)

    async def step(self) -> tuple[Batch | None, Progress] | None:
        """Read one piece of some holes; None if there is nothing to read now.

        The batch is None for a piece in which there was nothing. Raises DeviceErrors.
        """
        patient = self._clock.monotonic_s() < self._patient_until_s
        if patient and any(group.waiting for group in self._groups.values()):
            return None
        now_s = self._clock.monotonic_s()
        for group in self._groups.values():
            due = (hole for hole in group.heard.holes if hole.due_s <= now_s)
            most = min(self._at_once, self._connection.max_nodes_per_history)
            if holes := together(list(islice(due, _LOOKED_AT)), most):
                return await self._piece(group, holes)
        if self._filled or self._refused:
            self._events.emit(
                HISTORY_READ,
                device=self._device,
                holes=self._filled,
                refused=self._refused,
                samples=self._samples,
            )
            self._filled = self._refused = self._samples = 0
        return None

    async def _piece(self, group: _Group, holes: Sequence[Hole]) -> tuple[Batch | None, Progress]:
        """Read what follows in each of `holes`."""
        share = min(VALUES_AT_ONCE, max(1, 10 * VALUES_AT_ONCE // len(holes)))
        try:
            answers = await self._read(group, holes, share)
        except DeviceRefused as refusal:
            later = refusal.status & 0xFFFF_0000 in _TRANSIENT - TOO_MUCH
            if len(holes) > 1 and not later:  # too much at once, or one of them spoils it
                self._at_once = 1 if refusal.status not in TOO_MUCH else len(holes) // 2
                return None, Progress(group.heard, ())
            reached = tuple(self._not_read(hole, refusal.status) for hole in holes)
            return None, Progress(group.heard, reached)
        parts: list[Values] = []
        steps = [
            self._reached(hole, answer, share, parts)
            for hole, answer in zip(holes, answers, strict=True)
            if len(holes) == 1 or answer.status != StatusCodes.BadNoContinuationPoints
        ]
        if len(holes) > 1 and any(a.status == StatusCodes.BadNoContinuationPoints for a in answers):
            self._at_once = len(holes) // 2  # too many of them at once is no fault of any
        progress = Progress(group.heard, tuple(step for step in steps if step is not None))
        if not parts:
            return None, progress
        whole = merged(parts)
        marked = replace(whole, statuses=whole.statuses | np.uint32(FROM_HISTORY))
        batch = group.maker.sparse(marked, stamp(self._clock))
        self._samples += batch.rows
        return batch, progress

    def _reached(
        self, hole: Hole, answer: History, share: int, parts: list[Values]
    ) -> Reached | None:
        """Take in what came of one hole, up to `share` values, which go to `parts`."""
        hole.point = answer.point
        if answer.status & 0x8000_0000:
            return self._not_read(hole, answer.status)
        ticks = answer.values.source_ticks
        inside = np.flatnonzero((ticks > hole.after) & (ticks < hole.before))
        if not len(inside) and hole.point is None and len(ticks) >= share and not hole.alone:
            hole.alone = True  # all that fitted lay before it: the span was that of its neighbours
            return None
        if not len(inside):
            hole.tries += 1
            given_up = hole.point is not None and hole.tries >= _MOST_TRIES
            done = hole.point is None or given_up
            return Reached(hole, hole.after, done=done, refused=given_up)
        hole.tries = 0
        columns = np.full(len(inside), hole.column, np.uint32)
        parts.append(with_columns(taken_rows(answer.values, inside), columns))
        # A full piece may have more behind it though the server gives no point to go on from.
        done = hole.point is None and len(ticks) < share
        return Reached(hole, int(ticks[inside].max()), done=done)

    def _not_read(self, hole: Hole, status: int) -> Reached:
        """Leave a refused hole for later if that may help, else give it up."""
        code = status & 0xFFFF_0000
        hole.point = None
        hole.tries += 1
        if code in _TRANSIENT:
            hole.due_s = self._clock.monotonic_s() + _TRY_AGAIN_S
        given_up = hole.tries >= _MOST_TRIES or not (code == _POINT_LOST or code in _TRANSIENT)
        return Reached(hole, hole.after, done=given_up, refused=given_up)

    async def _read(self, group: _Group, holes: Sequence[Hole], share: int) -> list[History]:
        """Send one HistoryRead for `holes`, which asks for `share` values of each.

        One request has one span of time: the shortest that has all of them. Raises DeviceErrors.
        """
        request = ua.HistoryReadRequest()
        request.Parameters = ua.HistoryReadParameters(
            HistoryReadDetails=ua.ReadRawModifiedDetails(
                IsReadModified=False,
                StartTime=_moment(min(hole.after for hole in holes)),
                EndTime=_moment(max(hole.before for hole in holes)) + timedelta(microseconds=1),
                NumValuesPerNode=ua.UInt32(share),
                ReturnBounds=False,
            ),
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ReleaseContinuationPoints=False,
            NodesToRead=[
                ua.HistoryReadValueId(NodeId=group.nodes[hole.column], ContinuationPoint=hole.point)
                for hole in holes
            ],
        )
        body = await self._connection.ask(request, "reading history")
        try:
            return history_response(body, len(holes))
        except ValueError as error:
            raise translate(error, "reading history") from error


def together(due: Sequence[Hole], most: int) -> list[Hole]:
    """Give of the holes that may be asked for now those of the next request, `most` at most.

    A request has one span of time, so they must be alike: what is read in vain is bounded. Those
    that the server keeps a continuation point of go first, and alone among themselves.
    """
    pool = [hole for hole in due if hole.point is not None] or due
    if not pool or pool[0].alone:
        return list(pool[:1])
    first = pool[0]
    slack = (first.before - first.after) // 10 + _SLACK_TICKS
    alike = (
        hole
        for hole in pool
        if abs(hole.after - first.after) <= slack
        and abs(hole.before - first.before) <= slack
        and not hole.alone
    )
    return list(islice(alike, most))


def _moment(ticks: int) -> datetime:
    """Give a time in ticks as asyncua writes it, in whole microseconds, rounded down.

    One behind the last day that a datetime has becomes that day.
    """
    return _EPOCH + timedelta(microseconds=min(max(ticks, 0) // 10, _LAST_US))
