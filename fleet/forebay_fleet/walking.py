"""What a gateway sent, as readers of values walk through it: batches by time, clocks made right.

Owns which batches may hold what is asked for. Must not know values.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from forebay_fleet._proto import batch_pb2
from forebay_fleet.decode import decode_schema, parse
from forebay_fleet.errors import UsageError
from forebay_fleet.mending import Stretches, Tie, stretches
from forebay_fleet.store.history import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from forebay_fleet.decode import SchemaView
    from forebay_fleet.store.history import DetailRow, RecordRow
    from forebay_fleet.store.reader import StoreReader


class GatewayHistory:
    """One gateway: its lines, and which clocks stamped them."""

    def __init__(self, reader: StoreReader, gateway: str, *, raw_times: bool = False) -> None:
        """Find the gateway; with `raw_times` no time is mended.

        Raises:
            UsageError: no such gateway.
            DecodingError: the store holds an anchor that cannot be read.
        """
        number = reader.gateway_id(gateway)
        if number is None:
            raise UsageError(f"no gateway {gateway!r}", hint="list them: forebay-fleet gateways")
        self.gateway, self.gateway_id = gateway, number
        self.reader, self.history = reader, reader.history
        self.lines = {line.id: line for line in self.history.lines(number)}
        self.raw_times = raw_times
        self.clocks = Stretches(stretches(self._ties()))
        self._schemas: dict[int, SchemaView] = {}
        self.patience: Callable[[], None] = _endless
        """Called now and then by what may take long; raises where that is to end."""

    def schema(self, schema_id: int) -> SchemaView:
        """Give a schema of the gateway. DecodingError if the store holds none that can be read."""
        found = self._schemas.get(schema_id)
        if found is None:
            found = decode_schema(self.history.schema(self.gateway_id, schema_id) or b"")
            self._schemas[schema_id] = found
        return found

    def _ties(self) -> Iterator[Tie]:
        for row in self.history.anchors(self.gateway_id):
            anchor = parse(batch_pb2.Anchor, row.payload)
            yield Tie(
                *(row.line, row.seq, anchor.boot_id, anchor.wall_ns, anchor.monotonic_ns),
                anchor.state,
            )

    def correction_ns(self, line: int, seq: int) -> int:
        """Give what this reader adds to times that the gateway stamped at a position."""
        return 0 if self.raw_times else self.clocks.correction_ns(line, seq)

    def batches(self, schema: SchemaView, span_ns: tuple[int, int]) -> Iterator[RecordRow]:
        """Walk a schema's batches that may hold samples of `span_ns`, the latest end first.

        Ends and span are mended ones; `end_ns` gives them.
        """
        number, first_ns, last_ns = schema.message.id, *span_ns
        rest = self.history.newest(self.gateway_id, number, span_ns)
        if self.raw_times or not self.clocks.mendable:
            return rest
        walks: list[Iterable[RecordRow]] = [self._right(rest)]
        for stretch in self.clocks.mendable:
            by_ns = stretch.correction_ns or 0
            # A device's own times stay, so the span is that of both clocks.
            wide = (first_ns - max(by_ns, 0), last_ns - min(by_ns, 0))
            place = Place(stretch.line, stretch.first, stretch.last)
            walks.append(self.history.newest(self.gateway_id, number, wide, place))
        return heapq.merge(*walks, key=self.end_ns, reverse=True)

    def payloads(
        self, schema: SchemaView, span_ns: tuple[int, int]
    ) -> Iterator[tuple[int, int, int, bytes]]:
        """Walk as `batches` does, as tuples (line, seq, samples, payload)."""
        if self.raw_times or not self.clocks.mendable:
            return self.history.payloads(self.gateway_id, schema.message.id, span_ns)
        rows = self.batches(schema, span_ns)
        return ((row.line, row.seq, row.samples, row.payload) for row in rows)

    def _right(self, records: Iterable[RecordRow]) -> Iterator[RecordRow]:
        """Leave out what is mended: that is walked on its own."""
        return (record for record in records if not self.correction_ns(record.line, record.seq))

    def end_ns(self, record: RecordRow) -> int:
        """Give a time that no mended sample of a record lies behind."""
        return record.time_max_ns + max(self.correction_ns(record.line, record.seq), 0)

    def details(self, schema: SchemaView, span_ns: tuple[int, int]) -> Iterator[DetailRow]:
        """Walk what is known of a schema's batches, with mended times, the earliest end first."""
        number = schema.message.id
        rest = self.history.detail(self.gateway_id, number, span_ns)
        if self.raw_times or not self.clocks.mendable:
            return rest
        walks: list[Iterable[DetailRow]] = [
            (row for row in rest if not self.correction_ns(row.line, row.seq))
        ]
        for stretch in self.clocks.mendable:
            by_ns = stretch.correction_ns or 0
            span = (span_ns[0] - by_ns, span_ns[1] - by_ns)
            place = Place(stretch.line, stretch.first, stretch.last)
            walks.append(_moved(self.history.detail(self.gateway_id, number, span, place), by_ns))
        return heapq.merge(*walks, key=lambda row: row.time_max_ns)


def _moved(rows: Iterable[DetailRow], by_ns: int) -> Iterator[DetailRow]:
    for row in rows:
        yield row._replace(time_min_ns=row.time_min_ns + by_ns, time_max_ns=row.time_max_ns + by_ns)


def _endless() -> None:
    """Go on for ever."""
