"""Proves the ledger against the data: reads back and decodes every record.

Owns the checks behind `ledger --verify`: what is there twice, or not as announced. Must not know
how they are shown (`cli`). Believes no sum that ingest wrote.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forebay_fleet import gaps as arithmetic
from forebay_fleet._proto import uplink_pb2
from forebay_fleet.decode import SchemaView, decode_batch, decode_schema
from forebay_fleet.errors import DecodingError
from forebay_fleet.ledger import CUT, GENESIS, MAX_GAPPED, Coverage, extend
from forebay_fleet.store.gaps import THINNED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay_fleet.decode import BatchView
    from forebay_fleet.store.history import RecordRow
    from forebay_fleet.store.reader import GapRow, LineRow, StoreReader


MAX_PROBLEMS = 100


@dataclass(slots=True)
class Finding:
    """What reading everything back found.

    All counts from `duplicate_positions` to `wrong_chains` are 0 in a sound store.
    `duplicate_samples` counts samples with gateway, device, tag, source time and receipt time of
    another one. `unexplained` counts positions that the gateway said are gone and that no Gap
    record accounts for; `earlier` those of them that it had written before it first came here, or
    came back to a restored store. `overlapping` is how many of the gapped samples may be counted
    twice at most. `missing` and `notes` say where, one entry a line of the ledger.
    """

    records: int = 0
    samples: int = 0
    thinned: int = 0
    duplicate_positions: int = 0
    duplicate_samples: int = 0
    damaged: int = 0
    undecodable: int = 0
    wrong_counts: int = 0
    wrong_coverage: int = 0
    wrong_chains: int = 0
    unexplained: int = 0
    earlier: int = 0
    overlapping: int = 0
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note what is wrong, one line; the counts go on when there are too many lines."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)

    def miscounted(self, text: str) -> None:
        """Note a count that is wrong."""
        self.wrong_counts += 1
        self.fault(text)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong and every position is accounted for."""
        return not self.problems and not self.unexplained

    def as_dict(self) -> dict[str, object]:
        """Give it for JSON."""
        return asdict(self) | {"sound": self.sound}


class _Samples:
    """Identities of all samples of one (gateway, device, group); a dense row is one for all."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []
        self._tags: dict[str, int] = {}

    def add(self, batch: BatchView) -> None:
        """Keep (tag or -1 for a row of all, source time, receipt time, tags in it) of each row."""
        ids = np.full(len(batch.times_ns), -1, np.int64)
        width = np.full(len(ids), batch.schema.tags, np.int64)
        if batch.index is not None:
            names = [tag.name for tag in batch.schema.message.tags]
            numbers = [self._tags.setdefault(name, len(self._tags)) for name in names]
            ids, width = np.array(numbers, np.int64)[batch.index], np.ones_like(ids)
        self._rows.append(np.stack([ids, batch.times_ns, batch.received_ns, width], axis=1))

    def repeated(self) -> int:
        """Count the samples beyond the first of each identity."""
        rows = np.concatenate(self._rows)
        _, first = np.unique(rows[:, :3], axis=0, return_index=True)
        again = np.ones(len(rows), np.bool_)
        again[first] = False
        return int(rows[again, 3].sum())


class _Holdings:
    """What was read back of one line, for the arithmetic of gaps."""

    def __init__(self, weights: dict[int, int], positionless: dict[int, int]) -> None:
        """`weights`: samples a position stands for; `positionless`: of Gap records among them."""
        self._seqs = np.array(sorted(weights), np.int64)
        of_seq = [weights[seq] + positionless.get(seq, 0) for seq in sorted(weights)]
        self._sums = [0]
        for weight in of_seq:
            self._sums.append(self._sums[-1] + weight)

    def positions(self, first: int, last: int) -> int:
        low, high = self._ends(first, last)
        return high - low

    def samples(self, first: int, last: int) -> int:
        low, high = self._ends(first, last)
        return self._sums[high] - self._sums[low]

    def _ends(self, first: int, last: int) -> tuple[int, int]:
        low = np.searchsorted(self._seqs, first, side="left")
        return int(low), int(np.searchsorted(self._seqs, last, side="right"))


class _Line:
    """Reads one line back. `groups` and `schemas` are shared by all lines."""

    def __init__(
        self,
        reader: StoreReader,
        row: LineRow,
        finding: Finding,
        schemas: dict[tuple[int, int], SchemaView],
        groups: dict[tuple[str, str, str], _Samples],
    ) -> None:
        self._reader, self._row, self._finding = reader, row, finding
        self._schemas, self._groups = schemas, groups
        self._where = f"{row.gateway} {_stream(row)} {row.epoch:016x}"
        self._coverage = Coverage()
        self._chained: dict[int, bytes] = {}
        self._weights: dict[int, int] = {}
        self._thinned: dict[int, tuple[int, int, int]] = {}

    def verify(self) -> None:
        for seq, name, samples, late in self._reader.rejected(self._row.id):
            self._hold(seq, name, samples, late=late)
        records = samples = 0
        for record in self._reader.records(self._row.id):
            records += 1
            weight = record.samples + record.thinned if record.kind == uplink_pb2.BATCH else 0
            self._hold(record.seq, record.hash, weight, late=record.late)
            if record.thinned:
                self._thinned[record.seq] = record.thinned, record.time_min_ns, record.time_max_ns
            if record.revision == 0 and hashlib.sha256(record.payload).digest() != record.hash:
                self._finding.damaged += 1
                self._finding.fault(f"{self._where} {record.seq}: the payload has another hash")
                continue
            if record.kind == uplink_pb2.BATCH:
                samples += self._batch(record)
        if (records, samples) != (self._row.records, self._row.samples):
            self._finding.miscounted(
                f"{self._where}: the ledger counts {self._row.records} records and"
                f" {self._row.samples} samples, there are {records} and {samples}"
            )
        self._finding.records += records
        self._finding.samples += samples
        self._gaps()
        self._covered()
        self._chain()

    def _hold(self, seq: int, name: bytes, weight: int, *, late: bool) -> None:
        self._coverage.add(seq, seq)
        self._weights[seq] = weight
        if not late:
            self._chained[seq] = name

    def _batch(self, record: RecordRow) -> int:
        """Decode one batch and give its samples."""
        where = f"{self._where} {record.seq}"
        try:
            schema = self._schema(record)
            batch = decode_batch(record.payload, schema)
        except DecodingError as error:
            self._finding.undecodable += 1
            self._finding.fault(f"{where}: {error}")
            return record.samples
        if batch.samples != record.samples:
            self._finding.miscounted(
                f"{where}: {record.samples} samples announced, {batch.samples} there"
            )
        group = (self._row.gateway, schema.message.source, schema.message.group)
        self._groups[group].add(batch)
        return record.samples

    def _schema(self, record: RecordRow) -> SchemaView:
        key = (record.gateway, record.schema_id or 0)
        if key not in self._schemas:
            payload = self._reader.history.schema(*key)
            if payload is None:
                raise DecodingError(f"its schema {key[1]:016x} is not in the store")
            self._schemas[key] = decode_schema(payload)
        return self._schemas[key]

    def _gaps(self) -> None:
        """Check the rows of the table of gaps, those of this line and those that name it."""
        row, finding = self._row, self._finding
        rows = list(self._reader.gaps(row.id))
        counted = min(sum(gap.counted for gap in rows), MAX_GAPPED)
        if counted != row.gapped:
            finding.miscounted(
                f"{self._where}: the ledger counts {row.gapped} gapped samples, not {counted}"
            )
        self._thinnings([gap for gap in rows if gap.cause == THINNED])
        positionless = {gap.seq: gap.counted for gap in rows if gap.seq and not gap.seq_to}
        holdings = _Holdings(self._weights, positionless)
        naming = self._reader.naming(row.id)
        found = arithmetic.counts(naming, holdings, [gap.id for gap in naming])
        for gap in naming:
            if found[gap.id] != gap.counted:
                finding.miscounted(
                    f"{self._where}: the Gap {gap.epoch:016x} {gap.seq} counts {gap.counted}"
                    f" samples of {gap.first}-{gap.last}, not {found[gap.id]}"
                )
        doubtful = arithmetic.overlaps(naming, holdings)
        if doubtful:
            finding.overlapping += doubtful
            finding.notes.append(
                f"{self._where}: Gaps overlap in part: up to {doubtful} samples may be gapped twice"
            )

    def _thinnings(self, rows: list[GapRow]) -> None:
        told = {gap.seq: (gap.counted, gap.time_from_ns, gap.time_to_ns) for gap in rows}
        total = sum(thinned for thinned, *_ in self._thinned.values())
        self._finding.thinned += total
        if told != self._thinned or len(told) != len(rows) or total != self._row.thinned:
            self._finding.miscounted(
                f"{self._where}: the rows of what thinning took do not match the thinned records"
            )

    def _covered(self) -> None:
        """Rebuild what is accounted for from records, rejections and gaps."""
        row, finding, coverage = self._row, self._finding, self._coverage
        for gap in self._reader.naming(row.id):
            coverage.add(gap.first, gap.last)
        unexplained = earlier = 0
        for first, last in self._reader.not_held(row.id):
            for hole in coverage.holes(first, last):
                before = max(0, min(hole.last, row.earlier - 1) - hole.first + 1)
                earlier += before
                unexplained += hole.last - hole.first + 1 - before
            coverage.add(first, last)
        if unexplained:
            finding.unexplained += unexplained
            finding.missing.append(
                f"{self._where}: {unexplained} positions are not here, and no Gap says what they"
                " held"
            )
        if earlier:
            finding.earlier += earlier
            finding.notes.append(
                f"{self._where}: {earlier} positions are from before this server's time: the"
                " gateway had dropped them when it first came, or came back to a restored store"
            )
        if row.ended == CUT:
            finding.notes.append(
                f"{self._where}: this store was restored before this run ended, and the gateway has"
                " nothing of it any more: what came after is not known here"
            )
        if (coverage.committed, coverage.islands) != (row.coverage.committed, row.coverage.islands):
            finding.wrong_coverage += 1
            finding.fault(f"{self._where}: the ledger covers other positions than the data")

    def _chain(self) -> None:
        chain = GENESIS
        for seq in sorted(self._chained):
            if seq <= self._row.coverage.committed:
                chain = extend(chain, self._chained[seq])
        if chain != self._row.chain:
            self._finding.wrong_chains += 1
            self._finding.fault(f"{self._where}: the hash chain does not match the records")


def verify(reader: StoreReader, gateway: str | None = None) -> Finding:
    """Read back everything, of one gateway or all. Memory: 32 bytes for each row of a batch."""
    reader.snapshot()
    finding = Finding(duplicate_positions=reader.repeated_positions())
    if finding.duplicate_positions:
        finding.fault(f"{finding.duplicate_positions} positions hold two records")
    groups: dict[tuple[str, str, str], _Samples] = defaultdict(_Samples)
    schemas: dict[tuple[int, int], SchemaView] = {}
    for line in reader.lines(gateway):
        _Line(reader, line, finding, schemas, groups).verify()
    for (name, source, group), samples in groups.items():
        repeated = samples.repeated()
        finding.duplicate_samples += repeated
        if repeated:
            finding.fault(f"{name} {source}/{group}: {repeated} samples stored twice")
    return finding


def _stream(line: LineRow) -> str:
    return uplink_pb2.Stream.Name(line.stream).lower()
