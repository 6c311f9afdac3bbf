"""What is on disk, as every thread sees it: streams, their segments, schemas, known damage.

Owns the picture in memory. Only the writer thread changes it (and recovery, before any thread
runs, and what it promises); each change replaces an immutable value, so a reader's snapshot stays
whole without a lock. Must not know how bytes get to disk.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.interfaces import Head
from forebay.journal.salvage import read_whole, scan
from forebay.journal.segment import (
    INDEX,
    TRAILER_BYTES,
    Summary,
    Totals,
    decode_index,
    decode_trailer,
)
from forebay.journal.tip import Tip
from forebay.model import Position, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from forebay.files import Disk
    from forebay.journal.segment import JournaledGap, SegmentHeader
    from forebay.model import Gap

CACHED_INDEXES = 32
"""Indexes of sealed segments kept in memory; each has 56 bytes a record."""


class Segment:
    """One segment file. `summary` is what of it is durable."""

    def __init__(self, path: Path, header: SegmentHeader, summary: Summary) -> None:
        """Start with `summary`; for the segment being written the writer replaces it."""
        self.path, self.header, self.summary = path, header, summary
        self.rows: NDArray[Any] = np.empty(0, INDEX)
        """The growing index of the segment being written; past the count nothing is durable."""
        self.replaced = False
        """Whether a thinner copy has taken its place."""

    @property
    def stream(self) -> Stream:
        """The stream that it belongs to."""
        return self.header.stream

    @property
    def sealed(self) -> bool:
        """Whether it is read-only."""
        return self.summary.sealed_ns != 0

    @property
    def first(self) -> Position:
        """The position of the first record that may be here."""
        return Position(self.header.stream, self.header.epoch, self.header.first_seq)

    @property
    def last(self) -> Position:
        """The position of the last durable record; before `first` if there is none."""
        return Position(self.header.stream, self.header.epoch, self.summary.last_seq)


@dataclass(frozen=True, slots=True)
class View:
    """A stream at one moment: each segment with its summary at that moment, oldest first."""

    segments: tuple[tuple[Segment, Summary], ...]
    promised: tuple[Gap, ...] = ()
    """What will be said as soon as the disk has room; a gap may be here and in a segment."""

    @property
    def totals(self) -> Totals:
        """The account behind the last durable record."""
        return self.segments[-1][1].after if self.segments else Totals()

    def find(self, position: Position) -> Segment | None:
        """Give the segment in whose range `position` lies, or None."""
        for segment, summary in reversed(self.segments):
            if segment.first <= position:
                inside = position.epoch == segment.header.epoch and position.seq <= summary.last_seq
                return segment if inside else None
        return None


class IndexCache:
    """The indexes of sealed segments, a bounded number of them. Safe for all threads."""

    def __init__(self, disk: Disk) -> None:
        """Read from `disk` when asked for what is not in memory."""
        self._disk = disk
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, NDArray[Any]] = OrderedDict()

    def peek(self, segment: Segment) -> NDArray[Any] | None:
        """Give the index if that needs no disk."""
        while True:  # the writer seals first and empties `rows` afterwards: at most one more turn
            summary, rows = segment.summary, segment.rows
            if summary.sealed_ns:
                break
            if len(rows) >= summary.count:
                return rows[: summary.count]
        with self._lock:
            kept = self._kept.get(segment.path)
            if kept is not None:
                self._kept.move_to_end(segment.path)
            return kept

    def load(self, segment: Segment) -> NDArray[Any]:
        """Give the index, from disk if need be. OSError if the file cannot be opened."""
        rows = self.peek(segment)
        if rows is None:
            rows = read_index(self._disk, segment)
            self.put(segment.path, rows)
        return rows

    def put(self, path: Path, rows: NDArray[Any]) -> None:
        """Keep the index of a segment that was just sealed or read."""
        with self._lock:
            self._kept[path] = rows
            while len(self._kept) > CACHED_INDEXES:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()

    def drop(self, path: Path) -> None:
        """Forget the index of a segment that is gone."""
        with self._lock:
            self._kept.pop(path, None)


def read_index(disk: Disk, segment: Segment) -> NDArray[Any]:
    """Read a sealed segment's index; where it is damaged, rebuild it from the records.

    Blocks. OSError if the file cannot be opened.
    """
    file = disk.open(segment.path)
    try:
        size = file.size()
        try:
            tail = decode_trailer(file.pread(TRAILER_BYTES, max(0, size - TRAILER_BYTES)), size)
            if tail is not None:
                rows = decode_index(tail, file.pread(tail.index_bytes, tail.index_offset))
                if rows is not None:
                    return rows
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        return scan(read_whole(file)[0], segment.header).rows
    finally:
        file.close()


class Catalog:
    """All streams. Written by one thread at a time, read by any."""

    def __init__(self) -> None:
        """Start empty."""
        self._segments: dict[Stream, tuple[Segment, ...]] = dict.fromkeys(Stream, ())
        self._damaged: dict[Stream, dict[tuple[int, int], int]] = {s: {} for s in Stream}
        self.promised: dict[Stream, tuple[Gap, ...]] = {}
        """Gaps that a start has to say and that a full disk may hold up.

        They count as said: consumers go on meanwhile, and must not take for lost what they pass
        there. If the power goes first, the next start finds the same and says it.
        """
        self.schemas: dict[int, bytes] = {}
        """The encoded schemas of all live segments."""

    def clear(self) -> None:
        """Forget everything: what was read was not read to its end."""
        self._segments = dict.fromkeys(Stream, ())
        self._damaged = {stream: {} for stream in Stream}
        self.promised = {}
        self.schemas = {}

    def view(self, stream: Stream) -> View:
        """Give the stream as it is now."""
        promised = self.promised.get(stream, ())  # first: it goes only when segments have it
        segments = tuple((s, s.summary) for s in self._segments[stream] if s.summary.count)
        return View(segments, promised)

    def segments(self, stream: Stream) -> tuple[Segment, ...]:
        """Give the stream's segments, oldest first."""
        return self._segments[stream]

    def newest(self, stream: Stream) -> Position:
        """Give the position of the last durable record; `(stream, 0, 0)` if there is none."""
        for segment in reversed(self._segments[stream]):
            if segment.summary.count:
                return segment.last
        return Position(stream, 0, 0)

    def tips(self) -> dict[Stream, Tip]:
        """Give for each stream that has begun its last durable record."""
        found = {}
        for stream in Stream:
            for segment in reversed(self._segments[stream]):
                summary = segment.summary
                if summary.count:
                    place = (segment.header.epoch, summary.last_seq)
                    found[stream] = Tip(*place, *summary.after, summary.chain)
                    break
        return found

    def heads(self) -> tuple[Head, ...]:
        """Give one head for each epoch of each stream, oldest first within a stream."""
        heads: dict[tuple[Stream, int], Head] = {}
        for stream in Stream:
            for segment, summary in self.view(stream).segments:
                key = (stream, segment.header.epoch)
                first = heads[key].first_seq if key in heads else segment.header.first_seq
                heads[key] = Head(*key, first, summary.last_seq + 1)
        return tuple(heads.values())

    def add(self, segment: Segment) -> None:
        """Take a new segment, the newest of its stream."""
        self._segments[segment.stream] += (segment,)

    def replace(self, segment: Segment, thinner: Segment) -> None:
        """Let `thinner`, which holds the same positions, take the place of `segment`."""
        stream, segment.replaced = segment.stream, True
        self._segments[stream] = tuple(
            thinner if s is segment else s for s in self._segments[stream]
        )

    def drop(self, segment: Segment) -> None:
        """Forget a segment that retention removes, and all schemas that only it knew."""
        stream = segment.stream
        self._segments[stream] = tuple(s for s in self._segments[stream] if s is not segment)
        self._damaged[stream] = {
            place: samples
            for place, samples in self._damaged[stream].items()
            if place > (segment.header.epoch, segment.summary.last_seq)
        }
        live = {i for s in Stream for kept in self._segments[s] for i in kept.summary.schemas}
        self.schemas = {i: payload for i, payload in self.schemas.items() if i in live}

    def gaps(self, stream: Stream) -> Iterable[JournaledGap]:
        """Walk the positions that the stream's own gap records name."""
        return (gap for s in self._segments[stream] for gap in s.summary.gaps)

    def covered(
        self,
        stream: Stream,
        epoch: int,
        seq_from: int,
        seq_to: int,
        without: Container[Segment] = (),
    ) -> bool:
        """Whether one gap record, not in a segment of `without`, names all of these positions."""
        return any(
            gap.covers(epoch, seq_from, seq_to)
            for segment in self._segments[stream]
            if segment not in without
            for gap in segment.summary.gaps
        )

    def mark_damaged(self, position: Position, samples: int) -> None:
        """Note that an indexed record cannot be read; `samples` are those of a batch, else 0."""
        place = {(position.epoch, position.seq): samples}
        self._damaged[position.stream] = self._damaged[position.stream] | place

    def is_damaged(self, position: Position) -> bool:
        """Whether the record is known to be damaged."""
        return (position.epoch, position.seq) in self._damaged[position.stream]

    def picture(self, stream: Stream) -> tuple[View, Callable[[Position], int]]:
        """Give the stream as it is now, and what counts damaged samples in just that picture.

        Retention may go on meanwhile: damage in segments that are not in the view does not count.
        """
        marks = self._damaged[stream]
        view = self.view(stream)
        there = {at: n for at, n in marks.items() if view.find(Position(stream, *at))}

        def damaged(after: Position) -> int:
            return sum(n for place, n in there.items() if place > after[1:])

        return view, damaged

    def damaged(self, after: Position, last: Position) -> dict[tuple[int, int], int]:
        """Give epoch and seq of the records behind `after` up to `last` that are damaged.

        With each the samples of a batch, else 0.
        """
        marks = self._damaged[after.stream].items()
        return {place: n for place, n in marks if after[1:] < place <= last[1:]}
