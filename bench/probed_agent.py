"""The agent as it is, with a stop-watch between journal and ack.

`python -m bench.probed_agent FILE run --config ...` is `forebay run --config ...`. To FILE go lines
of JSON: `connected` when a session is agreed; and for each receipt `t`, the samples that it
newly acknowledged of what was durable before the session (`backlog`) and since (`live`), and for
each record of these the seconds from durable to acknowledged (`waits`). Times are monotonic.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from forebay.cli.main import main
from forebay.journal.journal import Journal
from forebay.model import Position, RecordKind
from forebay.uplinks.grpc.uplink import GrpcUplink

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Sequence

    from forebay.interfaces import Offer, Receipt, Terms
    from forebay.journal.journal import Entry
    from forebay.model import Record

REMEMBERED = 100_000


class Flight(NamedTuple):
    """A record that was sent: `durable_s` is 0 if another run journaled it."""

    position: Position
    samples: int
    durable_s: float


class Probe:
    """Notes when records became durable, were sent and were acknowledged."""

    def __init__(self, out: TextIO) -> None:
        """Write lines to `out`."""
        self._out = out
        self._durable: dict[int, float | None] = {}
        self._lanes: dict[tuple[Any, ...], deque[Flight]] = {}
        self._connected_s = 0.0

    def submitted(self, entries: Sequence[Entry], future: asyncio.Future[None]) -> None:
        """Note the time at which the entries become durable."""
        keys = [hash(entry.payload) for entry in entries if entry.kind is RecordKind.BATCH]
        if len(self._durable) > REMEMBERED:
            self._durable.clear()
        self._durable.update(dict.fromkeys(keys))

        def note(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and done.exception() is None:
                now_s = time.monotonic()
                self._durable.update({key: now_s for key in keys if key in self._durable})

        future.add_done_callback(note)

    def connected(self) -> None:
        """Begin a session."""
        self._lanes.clear()
        self._connected_s = time.monotonic()
        self._say({"connected": self._connected_s})

    def sent(self, records: Sequence[Record], *, historical: bool) -> None:
        """Note what is on its way; each lane of an epoch goes in order."""
        for record in records:
            if record.kind is RecordKind.BATCH:
                position = record.position
                lane = self._lanes.setdefault((*position[:2], historical), deque())
                durable_s = self._durable.pop(hash(record.payload), 0.0)
                if durable_s is None:  # it is durable, and the one who waits hears it next
                    durable_s = time.monotonic()
                lane.append(Flight(position, record.samples, durable_s))

    def received(self, receipt: Receipt) -> None:
        """Tell what a receipt brought."""
        resume, now_s = receipt.resume, time.monotonic()
        runs = ((1, resume.committed_seq), *resume.islands)
        backlog, waits, live = 0, [], 0
        for historical in (False, True):
            lane = self._lanes.get((resume.stream, resume.epoch, historical), deque())
            while lane and any(first <= lane[0].position.seq <= last for first, last in runs):
                flight = lane.popleft()
                if flight.durable_s < self._connected_s:
                    backlog += flight.samples
                else:
                    live += flight.samples
                    waits.append(round(now_s - flight.durable_s, 6))
        if backlog or live:
            self._say({"t": now_s, "backlog": backlog, "live": live, "waits": waits})

    def _say(self, line: dict[str, object]) -> None:
        self._out.write(json.dumps(line) + "\n")


def attach(probe: Probe) -> None:
    """Put the probe between journal, forwarder and uplink, at the interfaces that these share."""
    submit, connect, send = Journal.submit, GrpcUplink.connect, GrpcUplink.send
    receipts = GrpcUplink.receipts

    def probed_submit(self: Journal, entries: Sequence[Entry]) -> asyncio.Future[None]:
        future = submit(self, entries)
        probe.submitted(entries, future)
        return future

    async def probed_connect(self: GrpcUplink, offer: Offer) -> Terms:
        terms = await connect(self, offer)
        probe.connected()
        return terms

    async def probed_send(
        self: GrpcUplink,
        records: Sequence[Record],
        *,
        historical: bool,
        absent_from: Sequence[int] = (),
    ) -> None:
        probe.sent(records, historical=historical)
        await send(self, records, historical=historical, absent_from=absent_from)

    async def probed_receipts(self: GrpcUplink) -> AsyncIterator[Receipt]:
        async for receipt in receipts(self):
            probe.received(receipt)
            yield receipt

    Journal.submit = probed_submit  # type: ignore[method-assign]
    GrpcUplink.connect = probed_connect  # type: ignore[method-assign]
    GrpcUplink.send = probed_send  # type: ignore[method-assign]
    GrpcUplink.receipts = probed_receipts  # type: ignore[method-assign]


if __name__ == "__main__":
    with Path(sys.argv.pop(1)).open("a", buffering=1, encoding="utf-8") as file:
        attach(Probe(file))
        main()
