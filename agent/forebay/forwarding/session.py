"""One session with a destination: feeds, a sender, a receiver and the deadline for acks.

Owns what happens between Terms and the session's end. Must not know connecting, back-off or what
comes after a failure.

    journal ─▶ Feed (one a stream) ─▶ sender ─▶ Uplink.send
                                        ▲ credit
    cursor ◀── Window ◀────────────── receiver ◀── Uplink.receipts
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NoReturn

from forebay.errors import UplinkMisbehaved, UplinkUnavailable
from forebay.events import UPLINK_REJECTED
from forebay.forwarding.feed import Feed
from forebay.forwarding.lanes import Lanes
from forebay.forwarding.resume import testify
from forebay.forwarding.window import Window
from forebay.model import Stream

if TYPE_CHECKING:
    from forebay.forwarding.journal_view import CursorView, JournalView
    from forebay.forwarding.resume import Start
    from forebay.forwarding.status import Tally
    from forebay.interfaces import Receipt, Seams, Terms, Uplink
    from forebay.model import Record


class Session:
    """Moves records from `start` on until something ends it. Made anew for each session."""

    def __init__(
        self,
        name: str,
        uplink: Uplink,
        journal: JournalView,
        cursor: CursorView,
        terms: Terms,
        start: Start,
        tally: Tally,
        seams: Seams,
    ) -> None:
        self.window = Window(start.committed, terms.credit_bytes)
        self.progressed = False
        self._name, self._uplink, self._cursor = name, uplink, cursor
        self._terms, self._start, self._tally, self._seams = terms, start, tally, seams
        self._lanes = Lanes()
        self._wake = asyncio.Event()
        self._feeds = {
            stream: Feed(
                journal,
                start.after[stream],
                {epoch: seq for (of, epoch), seq in start.committed.items() if of is stream},
                self._wake.set,
                seams.clock,
            )
            for stream in Stream
        }

    async def run(self, ack_deadline_s: float) -> NoReturn:
        """Forward until cancelled; any other end is an ExceptionGroup of what its tasks raised."""
        async with asyncio.TaskGroup() as tasks:
            for stream, feed in self._feeds.items():
                tasks.create_task(feed.run(), name=f"forwarder[{self._name}].feed.{stream}")
            tasks.create_task(self._send(), name=f"forwarder[{self._name}].sender")
            tasks.create_task(self._receive(), name=f"forwarder[{self._name}].receiver")
            await self._watch(ack_deadline_s)
        raise AssertionError("a task group ends by an exception of its tasks")

    async def _send(self) -> NoReturn:
        while True:
            ready = [stream for stream, feed in self._feeds.items() if feed.first is not None]
            group: list[Record] = []
            if ready:
                stream = self._lanes.pick(ready)
                group = self._feeds[stream].take(self.window.may_send)
            if not group:
                self._wake.clear()
                await self._wake.wait()
                continue
            size = self._note(group)
            self._lanes.served(stream, ready, size)
            await self._uplink.send(group, historical=False)
            self._tally.records_sent += len(group)
            self._tally.bytes_sent += size

    def _note(self, group: list[Record]) -> int:
        """Put `group` into the window and give its payload bytes.

        Before the send, because a receipt may overtake its return.
        """
        now = self._seams.clock.monotonic_s()
        size = 0
        for record in group:
            if len(record.payload) > self._terms.max_record_bytes:
                raise _too_large(record, self._terms.max_record_bytes)
            self.window.sent(record, now)
            size += len(record.payload)
        return size

    async def _receive(self) -> NoReturn:
        async for receipt in self._uplink.receipts():
            self._apply(receipt)
        raise UplinkUnavailable(
            "the destination ended the session", hint="look at the destination's log for its reason"
        )

    def _apply(self, receipt: Receipt) -> None:
        now = self._seams.clock.monotonic_s()
        freed = self.window.receive(receipt, now)
        if freed.refused:
            for position, samples in freed.refused:
                self._cursor.reject(position, samples)
            position, code = receipt.rejected[0]
            self._seams.events.emit(
                UPLINK_REJECTED,
                uplink=self._name,
                records=len(freed.refused),
                first=f"{position.stream}/{position.epoch:x}/{position.seq}",
                code=code,
            )
        if freed.records:
            self.progressed = True
            self._tally.records_acked += freed.records
            self._tally.last_ack_at_s = now
            stream = receipt.resume.stream
            reached = self.window.acked(stream, self._start.after[stream])
            self._tally.acked[stream] = reached
            self._cursor.advance(reached)
            testify((receipt.resume,), self._terms.incarnation, self._cursor)
            self._tally.changed.set()
        self._wake.set()

    async def _watch(self, deadline_s: float) -> NoReturn:
        """Wait on acks: a transport that answers pings proves nothing of the consumer behind it."""
        clock = self._seams.clock
        while True:
            since = self.window.waiting_since_s
            left = deadline_s if since is None else since + deadline_s - clock.monotonic_s()
            if left <= 0:
                raise UplinkUnavailable(
                    f"no ack for {deadline_s:g} s of {self.window.unacked_records} records sent",
                    hint="the destination is connected but stores nothing: see its log and disk",
                )
            await clock.sleep(left)


def _too_large(record: Record, most: int) -> UplinkMisbehaved:
    position = record.position
    return UplinkMisbehaved(
        f"{position.stream} {position.epoch:x}/{position.seq} has {len(record.payload)} bytes, "
        f"the destination takes {most}",
        hint="raise the destination's limit for one record; nothing is lost, but this stream waits",
    )
