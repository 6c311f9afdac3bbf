"""A look at a journal directory from outside: running or not, on this machine or on another's disk.

Owns the way from a directory to its records without the journal. Never writes, never locks, and
copes with what changes meanwhile: the segment that is being written, one that retention or thinning
replaces. Must not know who asks, nor judge what it finds (`verify` does).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forebay.columnar import decode_gap, decode_schema
from forebay.errors import JournalCorrupt, JournalMissing
from forebay.journal.record import (
    ALIGNMENT,
    MAGIC,
    RecordHeader,
    aligned,
    crc32c,
    decode_header,
    to_record,
)
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.salvage import read_whole
from forebay.journal.segment import (
    HEADER_BYTES,
    INDEX,
    TRAILER_BYTES,
    SegmentHeader,
    Summary,
    Tail,
    decode_index,
    decode_sections,
    decode_trailer,
    parse_name,
)
from forebay.journal.segment import decode_header as decode_segment_header
from forebay.model import Record, RecordKind, Schema, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from forebay.files import Disk, DiskFile
    from forebay.model import Gap


class Place(NamedTuple):
    """Where a segment stands in its stream."""

    epoch: int
    first_seq: int


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment as its name tells it; `revision` is how often it was thinned."""

    path: Path
    stream: Stream
    place: Place
    revision: int


class Sealed(NamedTuple):
    """The two ends of a sealed segment; see `SegmentHeader` and `Summary`."""

    header: SegmentHeader
    summary: Summary


class Piece(NamedTuple):
    """Some bytes of a segment, from `begin` to `end`.

    Either one record, `whole` or with a payload that is damaged or not there yet; or bytes in which
    no record begins (`header` is None).
    """

    begin: int
    end: int
    header: RecordHeader | None
    whole: bool


@dataclass(frozen=True)
class Content:
    """What a segment file held when it was read.

    `header` is None where it is damaged, `tail` where nothing seals the file or what does is
    damaged. `unreadable`: the medium did not give back all of it; there it reads as zeros.
    """

    file: SegmentFile
    data: bytes = field(repr=False)
    header: SegmentHeader | None
    tail: Tail | None
    unreadable: bool

    @property
    def records_end(self) -> int:
        """Where records end: behind the last if it is sealed, else where nothing but zeros is."""
        if self.tail is not None:
            return self.tail.summary.end
        return min(len(self.data), aligned(len(self.data.rstrip(b"\0"))))

    def pieces(self) -> Iterator[Piece]:
        """Walk the whole of it, in order."""
        at, seq, end = HEADER_BYTES, 0, self.records_end
        while at < end:
            header = self._header(at, seq)
            if header is None:
                begin, at = at, self._next(at + ALIGNMENT, seq, end)
                yield Piece(begin, at, None, whole=False)
                continue
            seq = header.seq
            payload = self.payload(header)
            whole = len(payload) == header.length and crc32c(payload) == header.crc
            beyond = at + header.size
            yield Piece(at, min(beyond, len(self.data)), header, whole)
            at = beyond

    def payload(self, header: RecordHeader) -> bytes:
        """Give the payload behind a header of this segment; it may be short or damaged."""
        begin = header.offset + RECORD_HEADER_BYTES
        return self.data[begin : begin + header.length]

    def found(self) -> Iterator[tuple[RecordHeader, Record | None]]:
        """Walk all headers, each with its record, None where the payload is damaged."""
        for piece in self.pieces():
            header = piece.header
            if header is not None:
                whole = piece.whole
                yield header, to_record(header, self.payload(header)) if whole else None

    def records(self) -> Iterator[Record]:
        """Walk what can be read."""
        return (record for _, record in self.found() if record is not None)

    def _header(self, at: int, seq: int) -> RecordHeader | None:
        """Give the header at `at` if it is one of this segment's, behind `seq`."""
        found = decode_header(self.data, at, at)
        if found is None or found.seq <= seq:
            return None
        mine = (self.file.stream.number, self.file.place.epoch)
        return found if (found.stream, found.epoch) == mine else None

    def _next(self, at: int, seq: int, end: int) -> int:
        """Give where the next record begins, `end` if nowhere before it."""
        at = self.data.find(MAGIC, at, end)
        while at >= 0 and (at % ALIGNMENT or self._header(at, seq) is None):
            at = self.data.find(MAGIC, at + 1, end)
        return end if at < 0 else at


class OfflineJournal:
    """The journal in one directory. All calls block."""

    def __init__(self, directory: Path, disk: Disk) -> None:
        """Look at `directory`. JournalMissing if there is no journal, or none that can be read."""
        self.directory, self._disk = directory, disk
        self.schemas = Schemas(self)
        """What batches need, as it comes by."""
        try:
            there = disk.listdir(directory)
        except OSError as error:
            raise _missing(directory, error.strerror or str(error)) from error
        if not {"lock", *Stream} & set(there):
            raise _missing(directory, "it holds no journal")

    def segments(self, stream: Stream) -> list[SegmentFile]:
        """Give the stream's segments, oldest first.

        Of one that is there in two revisions, the later if it is whole: a start does the same.
        """
        found: dict[Place, SegmentFile] = {}
        for name in self.files(stream.value):
            parts = parse_name(name)
            if parts is None:
                continue
            path, place = self.directory / stream.value / name, Place(*parts[:2])
            file, known = SegmentFile(path, stream, place, parts.revision), found.get(place)
            if known is not None:
                older, newer = sorted((file, known), key=lambda one: one.revision)
                file = older if self.tail(newer) is None else newer
            found[place] = file
        return [found[place] for place in sorted(found)]

    def names(self, part: str) -> list[str]:
        """Give the names in a part of the directory; none if it is not there.

        JournalMissing if it cannot be read.
        """
        return self._listed(part, self._disk.listdir)

    def files(self, part: str) -> list[str]:
        """Give of `names` those of regular files."""
        return self._listed(part, self._disk.files)

    def _listed(self, part: str, listing: Callable[[Path], list[str]]) -> list[str]:
        try:
            return listing(self.directory / part)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _missing(self.directory / part, error.strerror or str(error)) from error

    def size(self, file: SegmentFile) -> int:
        """Give the size of a segment in bytes, 0 if it is gone."""
        try:
            return self._disk.size(file.path)
        except FileNotFoundError:
            return 0

    def tail(self, file: SegmentFile) -> Tail | None:
        """Give what seals a segment, with its schemas and gaps, without reading its records.

        None where it is gone, not sealed or damaged there.
        """
        handle = self._open(file.path)
        if handle is None:
            return None
        try:
            size = handle.size()
            tail = decode_trailer(handle.pread(TRAILER_BYTES, max(0, size - TRAILER_BYTES)), size)
            if tail is None:
                return None
            sections = decode_sections(
                tail, handle.pread(tail.sections_bytes, tail.sections_offset)
            )
            return None if sections is None else replace(tail, summary=sections)
        except OSError:
            return None
        finally:
            handle.close()

    def ends(self, file: SegmentFile) -> Sealed | None:
        """Give both ends of a sealed segment, without schemas and gaps; None as `index`."""
        found = self._sealed(file, index=False)
        return found and found[0]

    def index(self, file: SegmentFile) -> tuple[Sealed, NDArray[Any]] | None:
        """Give both ends of a sealed segment and its index; None where that cannot be had."""
        return self._sealed(file, index=True)

    def _sealed(self, file: SegmentFile, *, index: bool) -> tuple[Sealed, NDArray[Any]] | None:
        handle = self._open(file.path)
        if handle is None:
            return None
        rows: NDArray[Any] | None = np.empty(0, INDEX)
        try:
            size = handle.size()
            header = decode_segment_header(handle.pread(HEADER_BYTES, 0))
            tail = decode_trailer(handle.pread(TRAILER_BYTES, max(0, size - TRAILER_BYTES)), size)
            if header is None or tail is None:
                return None
            if index:
                rows = decode_index(tail, handle.pread(tail.index_bytes, tail.index_offset))
        except OSError:
            return None
        finally:
            handle.close()
        return None if rows is None else (Sealed(header, tail.summary), rows)

    def named(self, stream: Stream) -> list[Gap]:
        """Give all gaps of a stream that name positions."""
        gaps: list[Gap] = []
        for file in self.segments(stream):
            tail = self.tail(file)
            if tail is not None:
                gaps += [gap.gap for gap in tail.summary.gaps]
                continue
            content = self.read(file)
            for record in content.records() if content else ():
                if record.kind is RecordKind.GAP:
                    gap = decode_gap(record.payload)
                    gaps += [gap] if gap.journaled else []
        return gaps

    def read(self, file: SegmentFile) -> Content | None:
        """Read a segment, or what thinning has put in its place meanwhile; None if it is gone."""
        while (handle := self._open(file.path)) is None:
            now = [other for other in self.segments(file.stream) if other.place == file.place]
            if not now or now[0].revision <= file.revision:
                return None
            file = now[0]
        try:
            data, unreadable = read_whole(handle)
        finally:
            handle.close()
        tail = decode_trailer(data[max(0, len(data) - TRAILER_BYTES) :], len(data))
        header = decode_segment_header(data)
        named = (file.stream, file.place, file.revision)
        if (
            header
            and (header.stream, Place(header.epoch, header.first_seq), header.revision) != named
        ):
            header = None
        return Content(file, data, header, tail, unreadable)

    def _open(self, path: Path) -> DiskFile | None:
        """Open a file to read, None if it is gone; JournalMissing if it cannot be."""
        try:
            return self._disk.open(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _missing(path, error.strerror or str(error)) from error

    def read_bytes(self, path: Path, limit: int) -> bytes | None:
        """Read a small file, None if it is gone or the medium refuses."""
        try:
            return self._disk.read_bytes(path, limit)
        except OSError:
            return None


class Schemas:
    """The schemas that batches need, as they come by; what did not is looked for everywhere."""

    def __init__(self, journal: OfflineJournal) -> None:
        """Know none yet."""
        self._journal = journal
        self._known: dict[int, Schema] = {}
        self._missed: set[int] = set()

    def take(self, payload: bytes) -> Schema:
        """Learn from a SCHEMA payload. JournalCorrupt if it is none."""
        schema = decode_schema(payload)
        self._known[schema.id] = schema
        return schema

    def of(self, file: SegmentFile) -> Iterator[Schema]:
        """Give the schemas that a segment holds, as far as they can be read."""
        tail = self._journal.tail(file)
        if tail is not None:
            yield from filter(None, map(self.find, tail.summary.schemas))
            return
        content = self._journal.read(file)
        for record in content.records() if content else ():
            if record.kind is RecordKind.SCHEMA:
                with contextlib.suppress(JournalCorrupt):
                    yield self.take(record.payload)

    def find(self, schema_id: int) -> Schema | None:
        """Give a schema, None if no segment holds it."""
        if schema_id not in self._known and schema_id not in self._missed:
            self._search(schema_id)
        return self._known.get(schema_id)

    def _search(self, schema_id: int) -> None:
        for stream in Stream:
            for file in reversed(self._journal.segments(stream)):
                tail = self._journal.tail(file)
                if tail is not None and schema_id not in tail.summary.schemas:
                    continue
                content = self._journal.read(file)
                for record in content.records() if content else ():
                    if record.kind is RecordKind.SCHEMA:
                        self._try(record.payload)
                if schema_id in self._known:
                    return
        self._missed.add(schema_id)

    def _try(self, payload: bytes) -> None:
        with contextlib.suppress(JournalCorrupt):
            self.take(payload)


def _missing(path: Path, why: str) -> JournalMissing:
    return JournalMissing(
        f"the journal in {path} cannot be looked at: {why}",
        hint="name its directory with --directory, and be a user that may read it",
    )
