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

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.decode import SchemaView, decode_batch, decode_schema
from forebay_fleet.errors import DecodingError
from forebay_fleet.ledger import GENESIS, MAX_GAPPED, Coverage, extend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forebay_fleet.decode import BatchView
    from forebay_fleet.store.reader import LineRow, RecordRow, StoreReader


MAX_PROBLEMS = 100


@dataclass(slots=True)
class Finding:
    """What reading everything back found; every count but the first two is 0 in a sound store.

    `duplicate_samples` counts samples with gateway, device, tag, source time and receipt time of
    another one. `unexplained` counts positions that the gateway said are gone and that no Gap
    record accounts for; `missing` says where, one entry a line of the ledger.
    """

    records: int = 0
    samples: int = 0
    duplicate_positions: int = 0
    duplicate_samples: int = 0
    damaged: int = 0
    undecodable: int = 0
    wrong_counts: int = 0
    wrong_coverage: int = 0
    wrong_chains: int = 0
    unexplained: int = 0
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note what is wrong, one line; the counts go on when there are too many lines."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)

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


def verify(reader: StoreReader, gateway: str | None = None) -> Finding:
    """Read back everything, of one gateway or all. Memory: 32 bytes for each row of a batch."""
    reader.snapshot()
    finding = Finding(duplicate_positions=reader.repeated_positions())
    if finding.duplicate_positions:
        finding.fault(f"{finding.duplicate_positions} positions hold two records")
    groups: dict[tuple[str, str, str], _Samples] = defaultdict(_Samples)
    schemas: dict[tuple[int, int], SchemaView] = {}
    for line in reader.lines(gateway):
        _verify_line(reader, line, finding, schemas, groups)
    for (name, source, group), samples in groups.items():
        repeated = samples.repeated()
        finding.duplicate_samples += repeated
        if repeated:
            finding.fault(f"{name} {source}/{group}: {repeated} samples stored twice")
    return finding


def _verify_line(
    reader: StoreReader,
    line: LineRow,
    finding: Finding,
    schemas: dict[tuple[int, int], SchemaView],
    groups: dict[tuple[str, str, str], _Samples],
) -> None:
    where = f"{line.gateway} {uplink_pb2.Stream.Name(line.stream).lower()} {line.epoch:016x}"
    hashes = reader.rejected(line.id)
    coverage = Coverage()
    for seq in sorted(hashes):
        coverage.add(seq, seq)
    records = samples = 0
    for record in reader.records(line.id):
        records += 1
        hashes[record.seq] = record.hash
        coverage.add(record.seq, record.seq)
        if record.revision == 0 and hashlib.sha256(record.payload).digest() != record.hash:
            finding.damaged += 1
            finding.fault(f"{where} {record.seq}: the payload has another hash")
            continue
        if record.kind == uplink_pb2.BATCH:
            samples += _verify_batch(
                reader, record, (line.gateway, where), finding, schemas, groups
            )
    counted = min(reader.counted(line.id), MAX_GAPPED)
    if counted != line.gapped:
        finding.wrong_counts += 1
        finding.fault(f"{where}: the ledger counts {line.gapped} gapped samples, not {counted}")
    if (records, samples) != (line.records, line.samples):
        finding.wrong_counts += 1
        finding.fault(
            f"{where}: the ledger counts {line.records} records and {line.samples} samples,"
            f" there are {records} and {samples}"
        )
    finding.records += records
    finding.samples += samples
    _verify_coverage(reader, line, finding, coverage, hashes)


def _verify_batch(
    reader: StoreReader,
    record: RecordRow,
    names: tuple[str, str],
    finding: Finding,
    schemas: dict[tuple[int, int], SchemaView],
    groups: dict[tuple[str, str, str], _Samples],
) -> int:
    """Decode one batch and give its samples; `names` are the gateway's and the line's."""
    gateway, where = names
    try:
        schema = _schema(reader, record, schemas)
        batch = decode_batch(record.payload, schema)
    except DecodingError as error:
        finding.undecodable += 1
        finding.fault(f"{where} {record.seq}: {error}")
        return record.samples
    if record.revision == 0 and batch.samples != record.samples:
        finding.wrong_counts += 1
        finding.fault(
            f"{where} {record.seq}: {record.samples} samples announced, {batch.samples} there"
        )
    groups[gateway, schema.message.source, schema.message.group].add(batch)
    return record.samples


def _schema(
    reader: StoreReader, record: RecordRow, schemas: dict[tuple[int, int], SchemaView]
) -> SchemaView:
    key = (record.gateway, record.schema_id or 0)
    if key not in schemas:
        payload = reader.schema(*key)
        if payload is None:
            raise DecodingError(f"its schema {key[1]:016x} is not in the store")
        schemas[key] = decode_schema(payload)
    return schemas[key]


def _verify_coverage(
    reader: StoreReader,
    line: LineRow,
    finding: Finding,
    coverage: Coverage,
    hashes: dict[int, bytes],
) -> None:
    """Rebuild what is accounted for from records, rejections and gaps, and the chain over it."""
    where = f"{line.gateway} {uplink_pb2.Stream.Name(line.stream).lower()} {line.epoch:016x}"
    ranges = reader.gap_ranges(line.gateway, line.stream, line.epoch)
    for first, last, told in ranges:
        if told:
            coverage.add(first, last)
    unexplained = 0
    for first, last, told in ranges:
        if not told:
            unexplained += sum(b - a + 1 for a, b in coverage.holes(first, last))
            coverage.add(first, last)
    if unexplained:
        finding.unexplained += unexplained
        finding.missing.append(
            f"{where}: {unexplained} positions are not here, and no Gap says what they held"
        )
    if (coverage.committed, coverage.islands) != (line.coverage.committed, line.coverage.islands):
        finding.wrong_coverage += 1
        finding.fault(f"{where}: the ledger covers other positions than the data")
    chain = GENESIS
    for seq in sorted(hashes):
        if seq <= line.coverage.committed:
            chain = extend(chain, hashes[seq])
    if chain != line.chain:
        finding.wrong_chains += 1
        finding.fault(f"{where}: the hash chain does not match the records")
