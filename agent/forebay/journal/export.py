"""What an export holds: samples as people read them, and a row of its own for all that is missing.

Owns the choice of records, tags and times, and the walk that turns records into items. Nothing goes
missing in silence: gap records, what thinning took, and records that cannot be read each give an
`Absence`. Must not know how items are written (`exportformats`).
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.columnar import decode_gap, peek_schema_id
from forebay.errors import JournalCorrupt, RequestFailed, RequestInvalid
from forebay.journal import quarantine
from forebay.journal.named import uncovered
from forebay.model import Position, RecordKind, Stream
from forebay.readings import instants, readings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from forebay.journal.offline import Content, OfflineJournal, Schemas, SegmentFile
    from forebay.model import Gap, Record, Schema
    from forebay.readings import Readings

FOREVER_NS = (1 << 63) - 1
UNREADABLE = "unreadable"
"""The cause of an absence that no gap record tells of: positions that cannot be read."""
THINNED = "thinned"
Value = bool | int | float | str | bytes


@dataclass(frozen=True)
class Choice:
    """What is wanted: streams, source times (ns since 1970 UTC, both included), shell patterns."""

    streams: tuple[Stream, ...] = tuple(Stream)
    begin_ns: int = -FOREVER_NS
    end_ns: int = FOREVER_NS
    device: str = "*"
    tag: str = "*"

    def overlaps(self, first_ns: int, last_ns: int) -> bool:
        """Whether any moment of this span is wanted; one that is unknown (0) always is."""
        if not first_ns and not last_ns:
            return True
        return first_ns <= self.end_ns and last_ns >= self.begin_ns


class Absence(NamedTuple):
    """Samples that are not there, and why. `samples` is None where nobody knows.

    `cause` is a GapCause's name in small letters, THINNED or UNREADABLE; `source` is the device,
    empty for all. The seqs (of `epoch`) name the positions that are gone; 0: there never were any.
    """

    position: Position
    cause: str
    source: str
    time_from_ns: int
    time_to_ns: int
    samples: int | None
    epoch: int = 0
    seq_from: int = 0
    seq_to: int = 0


class Row(NamedTuple):
    """One sample. `column` is an index into the schema's tags; `value` is scaled, None for none."""

    column: int
    time: str
    received: str
    value: Value | None
    code: int


@dataclass(frozen=True)
class Block:
    """The chosen samples of one record; `kept` are their places in `found`, shape (n,)."""

    position: Position
    revision: int
    found: Readings
    kept: NDArray[np.intp]

    def rows(self) -> Iterator[Row]:
        """Walk the samples; times are ISO 8601 in UTC to the nanosecond."""
        found = self.found
        times, received = instants(found.times_ns), instants(found.received_ns)
        values = found.values()
        scans, columns = found.scans.tolist(), found.columns.tolist()
        codes = found.quality.tolist()
        for at in self.kept.tolist():
            scan = scans[at]
            yield Row(columns[at], times[scan], received[scan], values[at], codes[at])


Item = Block | Absence


SHOWN_DEVICES = 20
"""Of those that are in the journal, where one is asked for that is not."""


@dataclass
class Selection:
    """Turns records into items; keeps which columns of each schema are wanted."""

    choice: Choice
    schemas: Schemas
    _wanted: dict[int, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compile the patterns."""
        self._device = re.compile(fnmatch.translate(self.choice.device)).match
        self._tag = re.compile(fnmatch.translate(self.choice.tag)).match

    def wants(self, schema: Schema) -> bool:
        """Whether any tag of `schema` is wanted."""
        return bool(self._columns(schema))

    def items(self, record: Record) -> Iterator[Item]:
        """Give what one record holds of the choice."""
        match record.kind:
            case RecordKind.SCHEMA:
                self._learn(record)
            case RecordKind.GAP:
                yield from self._gap(record)
            case RecordKind.BATCH:
                try:
                    yield from self._batch(record)
                except JournalCorrupt:
                    yield _absence(record, UNREADABLE, "", record.samples)
            case RecordKind.ANCHOR:
                pass

    def _learn(self, record: Record) -> None:
        try:
            self.schemas.take(record.payload)
        except JournalCorrupt:
            return

    def _gap(self, record: Record) -> Iterator[Absence]:
        gap = decode_gap(record.payload)
        concerns = not gap.source or self._device(gap.source)
        if concerns and self.choice.overlaps(gap.time_from_ns, gap.time_to_ns):
            yield Absence(
                record.position,
                gap.cause.name.lower(),
                gap.source,
                gap.time_from_ns,
                gap.time_to_ns,
                gap.samples,
                gap.epoch,
                gap.seq_from,
                gap.seq_to,
            )

    def _batch(self, record: Record) -> Iterator[Item]:
        """Give the samples, behind what thinning took of them. JournalCorrupt if it cannot."""
        if not self.choice.overlaps(record.time_min_ns, record.time_max_ns):
            return
        schema = self.schemas.find(peek_schema_id(record.payload))
        if schema is None:
            yield _absence(record, UNREADABLE, "", record.samples)
            return
        columns = self._columns(schema)
        if not columns:
            return
        if record.thinned:
            yield _absence(record, THINNED, schema.source, record.thinned)
        found = readings(record, schema)
        times = found.times_ns[found.scans]
        keep = (times >= self.choice.begin_ns) & (times <= self.choice.end_ns)
        if len(columns) < len(schema.tags):
            keep &= np.isin(found.columns, columns)
        if keep.any():
            yield Block(record.position, record.revision, found, np.flatnonzero(keep))

    def _columns(self, schema: Schema) -> list[int]:
        wanted = self._wanted.get(schema.id)
        if wanted is None:
            tags = enumerate(schema.tags) if self._device(schema.source) else ()
            wanted = self._wanted[schema.id] = [n for n, tag in tags if self._tag(tag.name)]
        return wanted


def quarantined(journal: OfflineJournal, copy_id: str) -> tuple[Record, list[Item]]:
    """Give a record in quarantine, and what it holds. `copy_id` is `UPLINK/STREAM-EPOCH-SEQ`.

    RequestInvalid if there is none, RequestFailed if it is damaged.
    """
    uplink, _, name = copy_id.partition("/")
    path = journal.directory / "quarantine" / uplink / f"{name}.rec"
    if uplink not in journal.names("quarantine") or path.name not in journal.names(
        f"quarantine/{uplink}"
    ):
        raise RequestInvalid(
            f"nothing in quarantine is called {copy_id!r}",
            hint="list it: forebay journal quarantine ls",
        )
    found = quarantine.decode(journal.read_bytes(path, quarantine.MAX_FILE_BYTES) or b"")
    if found is None:
        raise RequestFailed(
            f"{copy_id} is damaged on disk", hint="drop it: it can be neither read nor sent"
        )
    record, schema = found
    selection = Selection(Choice(), journal.schemas)
    if schema:
        journal.schemas.take(schema)
    return record, list(selection.items(record))


def known(journal: OfflineJournal, choice: Choice) -> None:
    """Raise RequestInvalid if nothing that was ever read is what the patterns of `choice` name.

    Where there is nothing at all, they are right.
    """
    if (choice.device, choice.tag) == ("*", "*"):
        return
    selection = Selection(choice, journal.schemas)
    devices: set[str] = set()
    for stream in choice.streams:
        for file in reversed(journal.segments(stream)):
            for schema in journal.schemas.of(file):
                if selection.wants(schema):
                    return
                devices.add(schema.source)
    if not devices:
        return
    mine = fnmatch.filter(sorted(devices), choice.device)
    what = f"tag {choice.tag!r} of {', '.join(mine)}" if mine else f"device {choice.device!r}"
    shown = sorted(devices)[:SHOWN_DEVICES]
    more = f" and {len(devices) - len(shown)} more" if len(devices) > len(shown) else ""
    raise RequestInvalid(
        f"nothing in the journal is of {what}",
        hint="look for its tags: forebay tags, or leave --tag out"
        if mine
        else f"devices in it are: {', '.join(shown)}{more}",
    )


def export(
    journal: OfflineJournal,
    choice: Choice,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Iterator[Item]:
    """Walk what the journal holds of `choice`, stream by stream, in order. Blocks.

    Segments whose footer says that they hold nothing of it are not read. In memory is one segment.
    """
    selection = Selection(choice, journal.schemas)
    files = [file for stream in choice.streams for file in journal.segments(stream)]
    sizes = [journal.size(file) for file in files]
    done, total = 0, sum(sizes)
    walk = _Walk(journal, selection)
    for file, size in zip(files, sizes, strict=True):
        yield from walk.segment(file)
        done += size
        progress(done, total)


class _Walk:
    """Goes through segments in order and notices what is not there."""

    def __init__(self, journal: OfflineJournal, selection: Selection) -> None:
        self._journal, self._selection = journal, selection
        self._stream: Stream | None = None
        self._named: list[Gap] = []
        self._epoch = self._seq = 0
        self._counted: int | None = None
        self._time_ns = 0

    def segment(self, file: SegmentFile) -> Iterator[Item]:
        if file.stream is not self._stream:
            self._stream, self._epoch = file.stream, 0
            self._named = self._journal.named(file.stream)
        if file.place.epoch != self._epoch:
            first = file.place.first_seq - 1 if not self._epoch else 0
            self._epoch, self._seq, self._counted = file.place.epoch, first, None
        sealed = self._journal.index(file)
        if sealed is not None and not self._holds(sealed[1]):
            header, found = sealed[0]
            yield from self._reach(file.place.first_seq, header.before.counted, 0)
            self._seq, self._counted = found.last_seq, found.after.counted
            return
        content = self._journal.read(file)
        if content is not None:
            yield from self._content(content)

    def _holds(self, rows: NDArray[Any]) -> bool:
        """Whether anything in a segment is of a wanted time."""
        told = (rows["kind"] == RecordKind.BATCH) | (rows["kind"] == RecordKind.GAP)
        overlaps = self._selection.choice.overlaps
        return any(overlaps(int(row["time_min_ns"]), int(row["time_max_ns"])) for row in rows[told])

    def _content(self, content: Content) -> Iterator[Item]:
        for header, record in content.found():
            yield from self._reach(header.seq, header.counted, header.time_min_ns)
            if record is None:
                yield from self._absent(
                    header.seq, header.own, header.time_min_ns, header.time_max_ns
                )
            else:
                yield from self._selection.items(record)
            self._seq, self._counted = header.seq, header.counted + header.own
            self._time_ns = header.time_max_ns
        if content.tail is not None:
            summary = content.tail.summary
            yield from self._reach(summary.last_seq + 1, summary.after.counted, 0)
            self._seq, self._counted = summary.last_seq, summary.after.counted

    def _reach(self, seq: int, counted: int, time_ns: int) -> Iterator[Absence]:
        """Tell of the positions between the last one that was seen and `seq`."""
        if seq > self._seq + 1:
            samples = None if self._counted is None else counted - self._counted
            yield from self._absent(seq - 1, samples, self._time_ns, time_ns)

    def _absent(
        self, last: int, samples: int | None, begin_ns: int, end_ns: int
    ) -> Iterator[Absence]:
        """Tell of the positions up to `last`, unless gap records name them or nobody asks."""
        stream, epoch, first = self._stream, self._epoch, self._seq + 1
        assert stream is not None
        times = (begin_ns, end_ns) if begin_ns and end_ns else (0, 0)
        if uncovered(epoch, first, last, self._named) and self._selection.choice.overlaps(*times):
            position = Position(stream, epoch, first)
            yield Absence(position, UNREADABLE, "", *times, samples, epoch, first, last)


def _absence(record: Record, cause: str, source: str, samples: int) -> Absence:
    """Give what is not there of one record."""
    times = record.time_min_ns, record.time_max_ns
    _, epoch, seq = record.position
    return Absence(record.position, cause, source, *times, samples, epoch, seq, seq)
