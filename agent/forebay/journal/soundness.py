"""Whether one segment is what docs/internals/journal.md says: every byte of it is looked at.

Owns the checks of a segment by itself. Pure, but for schemas, which it asks for. Must not know its
neighbours, nor whether a gap accounts for what is gone (`verify` does).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from forebay.columnar import (
    decode_anchor,
    decode_batch,
    decode_gap,
    peek_schema_id,
)
from forebay.errors import JournalCorrupt
from forebay.journal.record import HEADER_BYTES as RECORD_HEADER_BYTES
from forebay.journal.record import NO_CHAIN, RecordHeader, next_chain, sha256
from forebay.journal.segment import (
    TRAILER_BYTES,
    Summary,
    Totals,
    batch_samples,
    batch_thinned,
    decode_index,
    decode_sections,
    index_row,
)
from forebay.model import RecordKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay.journal.offline import Content, Piece, Place, Schemas
    from forebay.model import Gap

WORDS_MAX = 20
"""Problems told of one segment; what follows is only counted."""


class Lost(NamedTuple):
    """Positions of one epoch that cannot be read; `samples` is None where nothing tells."""

    epoch: int
    seq_from: int
    seq_to: int
    samples: int | None
    why: str


@dataclass(slots=True)
class Findings:
    """What one segment holds, and what is wrong with it.

    `begin` and `chain_before` are totals and chain before its first record, None if they are not
    known; `end` and `chain` hold behind its last, and `last_seq` is that one's. `torn` counts the
    bytes behind the last record of a file that nothing seals.
    """

    place: Place
    last_seq: int
    begin: Totals | None
    chain_before: bytes | None
    end: Totals | None
    chain: bytes | None
    records: int = 0
    batches: int = 0
    samples: int = 0
    thinned: int = 0
    time_min_ns: int = 0
    time_max_ns: int = 0
    torn: int = 0
    gaps: list[Gap] = field(default_factory=list)
    lost: list[Lost] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    unsaid: int = 0

    def say(self, word: str) -> None:
        """Note one problem."""
        if len(self.words) < WORDS_MAX:
            self.words.append(word)
        else:
            self.unsaid += 1


def check(content: Content, schemas: Schemas) -> Findings:
    """Look at every byte of a segment."""
    return _Check(content, schemas).run()


class _Check:
    """One walk over one segment."""

    def __init__(self, content: Content, schemas: Schemas) -> None:
        self._content, self._schemas = content, schemas
        header, place = content.header, content.file.place
        chain = NO_CHAIN if place.first_seq == 1 else None
        self.out = Findings(
            place=place,
            last_seq=place.first_seq - 1,
            begin=header.before if header else None,
            chain_before=header.chain if header else None,
            end=header.before if header else None,
            chain=header.chain if header else chain,
        )
        self._seen: dict[int, RecordHeader] = {}
        self._here: dict[int, tuple[int, int]] = {}
        self._named: list[tuple[int, Gap]] = []
        self._hole = 0
        self._readable = self.out.chain

    def run(self) -> Findings:
        out, content = self.out, self._content
        if content.unreadable:
            out.say("the medium does not give all of it back")
        if content.header is None:
            out.say("its header is damaged")
        for piece in content.pieces():
            self._piece(piece)
        if content.tail is None:
            out.torn = self._hole
        else:
            self._footer(content.tail.summary)
        return out

    def _piece(self, piece: Piece) -> None:
        header = piece.header
        if header is None:
            self._hole += piece.end - piece.begin
            return
        out = self.out
        self._behind(header)
        self._seen[header.offset] = header
        out.last_seq = header.seq
        before = out.end or Totals()
        is_gap = header.kind == RecordKind.GAP
        out.end = Totals(
            header.counted + header.own,
            header.missing + (header.samples if is_gap else 0),
            before.records + 1,
        )
        if out.chain is not None:
            out.chain = next_chain(out.chain, header.hash)
        if not piece.whole:
            self._lose(header.seq, header.seq, header.own, "the payload is damaged")
            return
        if self._readable is not None:
            self._readable = next_chain(self._readable, header.hash)
        payload = self._content.payload(header)
        padding = self._content.data[
            header.offset + RECORD_HEADER_BYTES + header.length : piece.end
        ]
        if padding.strip(b"\0"):
            out.say(f"record {header.seq}: what fills it up is not zero")
        try:
            self._record(header, payload)
        except JournalCorrupt as error:
            out.say(f"record {header.seq}: {error}")

    def _behind(self, header: RecordHeader) -> None:
        """Compare what a header says of the records before it with what was seen of them."""
        out, due = self.out, self.out.last_seq + 1
        here = Totals(header.counted, header.missing)
        if out.begin is None and not self._seen and header.seq == due:
            out.begin = out.end = here
        if header.seq > due:
            samples = None if out.end is None else header.counted - out.end.counted
            self._lose(due, header.seq - 1, samples, f"{self._hole} bytes there are no record")
            out.chain = None
            records = out.end.records if out.end else 0
            out.end = here._replace(records=records + header.seq - due)
        elif self._hole:
            out.say(f"record {header.seq}: {self._hole} bytes before it are no record")
        elif out.end is not None and out.end[:2] != here[:2]:
            out.say(f"record {header.seq}: its totals do not follow from the record before it")
        self._hole = 0

    def _lose(self, seq_from: int, seq_to: int, samples: int | None, why: str) -> None:
        self.out.lost.append(Lost(self.out.place.epoch, seq_from, seq_to, samples, why))

    def _record(self, header: RecordHeader, payload: bytes) -> None:
        """Check what one whole record says. JournalCorrupt if its payload is no message."""
        out = self.out
        out.records += 1
        if header.revision == 0 and sha256(payload) != header.hash:
            out.say(f"record {header.seq}: its payload does not give its hash")
        thinned = header.revision > 0
        if thinned != (header.thinned > 0) or (thinned and header.kind != RecordKind.BATCH):
            out.say(f"record {header.seq}: what it says of thinning cannot be")
        match RecordKind(header.kind):
            case RecordKind.BATCH:
                self._batch(header, payload)
            case RecordKind.SCHEMA:
                self._here[self._schemas.take(payload).id] = (header.offset, header.length)
            case RecordKind.GAP:
                self._gap(header, decode_gap(payload))
            case RecordKind.ANCHOR:
                decode_anchor(payload)

    def _batch(self, header: RecordHeader, payload: bytes) -> None:
        out = self.out
        out.batches += 1
        out.samples += header.samples
        out.thinned += header.thinned
        first = out.batches == 1
        out.time_min_ns = header.time_min_ns if first else min(out.time_min_ns, header.time_min_ns)
        out.time_max_ns = header.time_max_ns if first else max(out.time_max_ns, header.time_max_ns)
        schema_id = peek_schema_id(payload)
        if schema_id not in self._here and not out.lost:
            out.say(
                f"record {header.seq}: its schema {schema_id:016x} is not in the segment before it"
            )
        schema = self._schemas.find(schema_id)
        if schema is None:
            out.say(f"record {header.seq}: its schema {schema_id:016x} is nowhere")
            return
        batch = decode_batch(payload, schema)
        if batch.samples != header.samples:
            out.say(
                f"record {header.seq}: {batch.samples} samples, its header says {header.samples}"
            )
        if batch.rows:
            first_ns, last_ns = int(batch.times_ns.min()), int(batch.times_ns.max())
            if not header.time_min_ns <= first_ns <= last_ns <= header.time_max_ns:
                out.say(f"record {header.seq}: it has times that its header excludes")

    def _gap(self, header: RecordHeader, gap: Gap) -> None:
        self.out.gaps.append(gap)
        if gap.journaled:
            self._named.append((header.seq, gap))
        expected = 0 if gap.journaled else gap.samples or 0
        if header.samples != expected:
            self.out.say(
                f"record {header.seq}: a gap of {expected} samples counts {header.samples}"
            )

    def _footer(self, claimed: Summary) -> None:
        """Compare index, sections and trailer with the records."""
        out, content = self.out, self._content
        tail = content.tail
        assert tail is not None
        if claimed.last_seq > out.last_seq:
            samples = None if out.end is None else claimed.after.counted - out.end.counted
            why = f"{self._hole} bytes there are no record"
            self._lose(out.last_seq + 1, claimed.last_seq, samples, why)
            out.last_seq, out.chain, out.end = claimed.last_seq, None, claimed.after
        elif self._hole:
            out.say(f"behind its last record are {self._hole} bytes of none")
        elif claimed.last_seq < out.last_seq or (out.end and claimed.after != out.end):
            out.say("its trailer's totals are not those of its records")
            out.end = claimed.after
        # A start that met the damage has left it out of the chain; if it came later it is in it.
        if out.chain is not None and claimed.chain not in (out.chain, self._readable):
            out.say("its trailer's chain is not that of its records")
        out.chain = claimed.chain
        if content.data[-12:-8].strip(b"\0"):
            out.say("its trailer has bytes that are not zero")
        index = content.data[tail.index_offset : tail.sections_offset]
        rows = decode_index(tail, index)
        if rows is None:
            out.say("its index is damaged")
        else:
            self._index(rows, claimed)
        sections = content.data[tail.sections_offset : len(content.data) - TRAILER_BYTES]
        full = decode_sections(tail, sections)
        if full is None:
            out.say("its lists of schemas and gaps are damaged")
        else:
            self._sections(full)

    def _index(self, rows: NDArray[Any], claimed: Summary) -> None:
        out = self.out
        listed = {int(row["offset"]): tuple(row.tolist()) for row in rows}
        first = self._content.file.place.first_seq
        wrong = [
            header.seq
            for at, header in self._seen.items()
            if listed.get(at) != index_row(header, first)
            and not (at not in listed and self._is_lost(header.seq))
        ]
        for seq in wrong:
            out.say(f"record {seq}: its row in the index is not what it says itself")
        if (claimed.count, claimed.samples, claimed.thinned) != (
            len(rows),
            batch_samples(rows),
            batch_thinned(rows),
        ):
            out.say("its trailer's counts are not those of its index")
        batches = rows[rows["kind"] == RecordKind.BATCH]
        times = (
            (int(batches["time_min_ns"].min()), int(batches["time_max_ns"].max()))
            if len(batches)
            else (0, 0)
        )
        if times != (claimed.time_min_ns, claimed.time_max_ns):
            out.say("its trailer's times are not those of its index")

    def _sections(self, full: Summary) -> None:
        """Compare lists of schemas and gaps; a record that is damaged now may be in them."""
        out = self.out
        whole = {place for place in full.schemas.values() if place[0] in self._seen}
        if not set(self._here.values()) <= set(full.schemas.values()) or any(
            place not in self._here.values() and not self._damaged_at(place[0]) for place in whole
        ):
            out.say("its list of schemas is not that of its records")
        told = [(gap.at, replace(gap.gap, source="")) for gap in full.gaps]
        found = [(seq, replace(gap, source="")) for seq, gap in self._named]
        if [one for one in told if not self._is_lost(one[0])] != found:
            out.say("its list of gaps is not that of its records")

    def _damaged_at(self, offset: int) -> bool:
        return self._is_lost(self._seen[offset].seq)

    def _is_lost(self, seq: int) -> bool:
        return any(one.seq_from <= seq <= one.seq_to for one in self.out.lost)
