"""What is sent in a session, and when: lanes within credit, pace and budget; or one record alone.

Owns the order of what goes out. Must not know what comes back, but for the moments when nothing is
in flight and when a question of its own is answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from forebay.forwarding.aside import SUSPECT, TOO_LARGE
from forebay.forwarding.budget import ENVELOPE_BYTES
from forebay.forwarding.feed import GROUP_BYTES
from forebay.forwarding.lanes import Lane, Lanes
from forebay.forwarding.pace import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from forebay.forwarding.feed import Parcel
    from forebay.forwarding.line import Line
    from forebay.forwarding.route import Route
    from forebay.forwarding.window import Window
    from forebay.interfaces import Receipt
    from forebay.model import Position, Record, Stream

_SHORT_S = 1.0
"""Waits for a cap that are longer are met by the session's tick."""
_READ_BYTES = 1 << 20


@dataclass(slots=True)
class _Question:
    """A record out of quarantine, and who waits to hear whether it was taken."""

    record: Record
    answer: asyncio.Future[bool]
    asked_s: float | None = None


class Sender:
    """Sends from `routes`, which the session fills before `run`."""

    def __init__(
        self, line: Line, window: Window, routes: Mapping[Stream, Route], max_record_bytes: int
    ) -> None:
        """Take records into `window` before they go; none above `max_record_bytes`."""
        self._line, self._window, self._routes = line, window, routes
        self._most = max_record_bytes
        self._lanes = Lanes()
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._question: _Question | None = None
        self.pace = Pace()

    @property
    def asked_s(self) -> float | None:
        """When a record out of quarantine was sent whose answer is still due (monotonic)."""
        return None if self._question is None else self._question.asked_s

    @property
    def asked_bytes(self) -> int:
        """Payload bytes of that record."""
        return 0 if self._question is None else len(self._question.record.payload)

    def wake(self) -> None:
        """Look again: there are records, credit, an answer or another time of day."""
        self._wake.set()
        self._changed.set()

    async def run(self) -> NoReturn:
        """Send until cancelled. UplinkError ends it."""
        await self._probe()
        while True:
            if self._question is not None:
                await self._ask(self._question)
            elif not await self._send_next():
                await self._pause()

    def held(self) -> str:
        """Say why records that are there and could go do not."""
        reasons = [*self._holds(), self.stuck()]
        return "; ".join(dict.fromkeys(reason for reason in reasons if reason))

    def stuck(self) -> str:
        """Give of that what the destination is the reason for."""
        starved = "the destination gives no credit" if self.starved else ""
        return "; ".join(filter(None, [self._line.suspicion.held, starved]))

    @property
    def starved(self) -> bool:
        """Whether records may go but for credit, of which none can come back with an ack."""
        if self._window.credit_bytes or self._window.unacked_records:
            return False
        return "" in self._holds()

    def _holds(self) -> list[str]:
        """Give what our own limits say of each first record of a lane; empty: it may go."""
        now_ns = self._line.seams.clock.now_ns()
        return [
            self._line.budget.held(lane, stream, now_ns)
            for stream, route in self._routes.items()
            for lane in Lane
            if route.first(lane) is not None
        ]

    # --- lanes ------------------------------------------------------------------------------------

    async def _send_next(self) -> bool:
        """Send the next group; give whether there was one that may go."""
        ready = self._ready()
        if not ready:
            return False
        lane, stream = self._lanes.pick(ready)
        feed = self._routes[stream].feed(lane)
        group = feed.take(partial(self._fits, lane, stream)) if feed else []
        if not group:
            return False
        size = await self._hand_over(lane, group)
        self._lanes.served(lane, stream, ready, size)
        return True

    def _ready(self) -> dict[Lane, list[Stream]]:
        """Give the lanes whose next record may go now, and their streams, most urgent first."""
        now_ns = self._line.seams.clock.now_ns()
        ready: dict[Lane, list[Stream]] = {}
        for lane in Lane:
            for stream, route in self._routes.items():
                record = route.first(lane)
                if (
                    record is not None
                    and not self._line.budget.held(lane, stream, now_ns)
                    and self._fits(lane, stream, 1, len(record.payload))
                ):
                    ready.setdefault(lane, []).append(stream)
        return ready

    def _fits(self, lane: Lane, stream: Stream, records: int, size: int) -> bool:
        """Whether a group fits into the credit, the pace and the budget."""
        if not self._window.may_send(records, size):
            return False
        flying = self._window.unacked_bytes
        behind = lane is Lane.BACKFILL and any(r.is_split for r in self._routes.values())
        budget, now_ns = self._line.budget, self._line.seams.clock.now_ns()
        room = min(budget.room(lane, self._line.now_s()), budget.left(lane, stream, now_ns))
        if records == 1:
            return room > 0 and self.pace.lets(size, flying, behind=behind)
        pace = self.pace.most_bytes(behind=behind)
        return size + records * ENVELOPE_BYTES <= room and flying + size <= pace

    async def _hand_over(self, lane: Lane, group: Sequence[Parcel]) -> int:
        """Send a group, but for what is too large; give its payload bytes."""
        parcels: list[Parcel] = []
        for parcel in group:
            size = len(parcel.record.payload)
            if size <= self._most:
                parcels.append(parcel)
            else:
                reason = f"it has {size} bytes, the destination takes {self._most}"
                await self._set_aside(parcel.record, TOO_LARGE, reason)
        if not parcels:
            return 0
        for record, absent_from, again in parcels:
            if absent_from:
                first = record.position._replace(seq=absent_from)
                self._window.tell(first, record.position.seq - 1)
            if again:
                self._window.handed()
            else:
                self._note(record, lane)
        size = sum(len(parcel.record.payload) for parcel in parcels)
        self._count(lane, len(parcels), size)
        absent = [parcel.absent_from for parcel in parcels]
        await self._line.uplink.send(
            [parcel.record for parcel in parcels],
            historical=lane is Lane.BACKFILL,
            absent_from=absent if any(absent) else (),
        )
        return size

    def _note(self, record: Record, lane: Lane) -> None:
        """Take a record into the window, before the send: a receipt may overtake its return.

        Where the cursor has passed it, the destination has said that it lacks what we had
        delivered: then the cursor goes back.
        """
        position = record.position
        if position <= self._line.cursor.get(position.stream):
            self._line.cursor.rewind(position._replace(seq=position.seq - 1))
            self._line.aside.positions()  # what is in quarantine counts so again when it is passed
        self._window.sent(record, lane, self._line.now_s())

    def _count(self, lane: Lane, records: int, size: int) -> None:
        self._line.budget.spend(lane, records, size, self._line.seams.clock.now_ns())
        self._line.tally.records_sent += records
        self._line.tally.bytes_sent += size

    async def _pause(self) -> None:
        """Wait for what `wake` tells of, or for a cap; the session wakes once a second."""
        budget = self._line.budget
        waits = [
            budget.wait_s(lane)
            for lane in Lane
            if any(route.first(lane) is not None for route in self._routes.values())
        ]
        wait_s = min((w for w in waits if 0 < w < _SHORT_S), default=None)
        if wait_s is not None:
            await self._line.seams.clock.sleep(wait_s)
            return
        self._wake.clear()
        await self._wake.wait()

    # --- one record alone -------------------------------------------------------------------------

    async def _probe(self) -> None:
        """Look into what the destination may break on, before anything else is sent."""
        suspicion = self._line.suspicion
        if suspicion.convicted:
            record = await self._read(suspicion.convicted)
            if record is not None:
                await self._set_aside(record, SUSPECT, "the destination broke on it, alone, twice")
            suspicion.clear()
        elif suspicion.alone:
            await self._one_by_one(suspicion.alone)
        elif suspicion.compared:
            await self._compare(*suspicion.compared)

    async def _one_by_one(self, suspect: Position) -> None:
        """Send each record alone that may have been in the message which the suspect began."""
        size = 0
        async for record in self._behind(suspect._replace(seq=suspect.seq - 1)):
            self._line.suspicion.ask_alone(record.position)
            await self._send_alone(record)
            size += len(record.payload)
            if size > GROUP_BYTES:
                break
        self._line.suspicion.clear()

    async def _compare(self, suspect: Position, distance: int) -> None:
        """Send a record that lies behind the suspect, and if it is taken the suspect itself."""
        suspicion = self._line.suspicion
        record = await self._read(suspect)
        if record is None or self._window.knows(suspect):
            suspicion.clear()
            return
        neighbour = await self._neighbour(suspect, distance)
        suspicion.lonely = neighbour is None  # then there will be one; till then all goes as usual
        if neighbour is not None:
            await self._send_alone(neighbour)
            suspicion.neighbour_taken()
            await self._send_alone(record)
            suspicion.clear()

    async def _neighbour(self, suspect: Position, distance: int) -> Record | None:
        """Find a record so far behind the suspect, or less far, or of another stream."""
        found: Record | None = None
        async for other in self._behind(suspect):
            found = other
            distance -= 1
            if not distance:
                return found
        if found is None:
            for stream in self._routes:
                if stream is not suspect.stream:
                    async for other in self._behind(self._routes[stream].passed):
                        return other
        return found

    async def _read(self, position: Position) -> Record | None:
        before = position._replace(seq=position.seq - 1)
        records = await self._line.journal.read(before, 1, self._line.cursor)
        return records[0] if records and records[0].position == position else None

    async def _behind(self, after: Position) -> AsyncIterator[Record]:
        """Give the records behind a position that the destination lacks and can take."""
        while records := await self._line.journal.read(after, _READ_BYTES, self._line.cursor):
            for record in records:
                if len(record.payload) <= self._most and not self._window.knows(record.position):
                    yield record
            after = records[-1].position

    async def _send_alone(self, record: Record) -> None:
        """Send one record and wait until it is acknowledged."""
        self._note(record, Lane.BACKFILL)
        self._count(Lane.BACKFILL, 1, len(record.payload))
        await self._line.uplink.send([record], historical=True)
        await self._landed()

    async def _landed(self) -> None:
        """Wait until nothing is in flight."""
        while self._window.unacked_records:
            self._changed.clear()
            await self._changed.wait()

    async def _set_aside(self, record: Record, code: str, reason: str) -> None:
        await self._line.aside.put(record, code, reason)
        self._window.tell(record.position, record.position.seq)

    # --- one record out of quarantine -------------------------------------------------------------

    async def retry(self, record: Record) -> bool:
        """Send a record out of quarantine by itself; give whether the destination took it."""
        if self._question is not None or len(record.payload) > self._most:
            return False
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._question = _Question(record, answer)
        self.wake()
        try:
            return await answer
        finally:
            self._question = None
            self.wake()

    async def _ask(self, question: _Question) -> None:
        """Send it with nothing else in flight: so the next answer about its epoch is its own."""
        await self._landed()
        record = question.record
        self._window.tell(record.position, record.position.seq)
        self._window.handed()
        question.asked_s = self._line.now_s()
        self._count(Lane.BACKFILL, 1, len(record.payload))
        await self._line.uplink.send([record], historical=True)
        while self._question is question:
            self._changed.clear()
            await self._changed.wait()

    def answer(self, receipt: Receipt) -> None:
        """Tell who waits whether the record out of quarantine was taken."""
        question = self._question
        if question is None or question.asked_s is None or question.answer.done():
            return
        position = question.record.position
        if position[:2] == (receipt.resume.stream, receipt.resume.epoch):
            refused = {refused for refused, _ in receipt.rejected}
            question.answer.set_result(position not in refused)

    def give_up(self) -> None:
        """Tell who waits that the session has ended."""
        if self._question is not None and not self._question.answer.done():
            self._question.answer.set_result(False)
