"""A second reader, made from the tables of docs/internals/journal.md alone, agrees with ours."""

from __future__ import annotations

import hashlib
import struct
from itertools import pairwise
from typing import NamedTuple

import google_crc32c

from forebay.journal.entry import gap_entry
from forebay.journal.rewrite import rewrite
from forebay.model import Gap, GapCause, Record
from forebay.testing.disk import FaultyDisk
from support.batches import batch_entry
from support.journal import ENCODED_SCHEMA, SCHEMA, T, entry, journal, read_all, segment_paths
from support.telemetry import scans


class Raw(NamedTuple):
    """A record by its offsets."""

    epoch: int
    seq: int
    kind: int
    samples: int
    thinned: int
    counted: int
    missing: int
    times: tuple[int, int]
    hash: bytes
    payload: bytes


def u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def crc(data: bytes) -> int:
    value: int = google_crc32c.value(data)
    return value


def record(data: bytes, at: int) -> Raw:
    head = data[at : at + 120]
    assert head[:4] == b"FbR2"
    assert u32(head, 4) == crc(head[8:])
    assert u32(head, 12) == at
    payload = data[at + 120 : at + 120 + u32(head, 80)]
    assert u32(head, 84) == crc(payload)
    assert (head[88:] == hashlib.sha256(payload).digest()) == (head[10] == 0)
    numbers = (head[8], u64(head, 32), u64(head, 40), u64(head, 48), u64(head, 56))
    times = struct.unpack("<qq", head[64:80])
    return Raw(u64(head, 16), u64(head, 24), *numbers, times, head[88:], payload)


def segment(data: bytes, level_s: int = 0) -> list[Raw]:
    """Every record, with every total, CRC and chain on the way checked."""
    assert (data[:8], u32(data, 8)) == (b"FbSEGMNT", 2)
    assert u32(data, 12) == crc(data[16:128])
    assert data[16] == 3
    assert (u32(data, 104), u32(data, 108)) == (level_s, 1 if level_s else 0)
    trailer = data[-152:]
    assert trailer[144:] == b"FbSEALED"
    assert u32(trailer, 136) == crc(trailer[:136])
    index_at, count = u32(trailer, 0), u32(trailer, 8)
    index = data[index_at : index_at + 56 * count]
    sections = data[index_at + 56 * count : -152]
    assert (u32(trailer, 4), u32(trailer, 20)) == (crc(index), crc(sections))
    assert len(sections) == 16 * u32(trailer, 12) + 64 * u32(trailer, 16)
    chain, found, at = data[72:104], [], 128
    counted, missing = u64(data, 48), u64(data, 56)
    for row in range(count):
        one = record(data, at)
        entry_ = index[56 * row : 56 * row + 56]
        assert (u32(entry_, 0), u32(entry_, 4), u32(entry_, 12)) == (at, len(one.payload), one.kind)
        assert u32(entry_, 8) == one.seq - u64(data, 32)
        assert (u64(entry_, 16), u64(entry_, 24)) == (one.counted, one.samples)
        assert u64(entry_, 32) == one.thinned
        assert struct.unpack("<qq", entry_[40:]) == one.times
        assert (one.counted, one.missing) == (counted, missing)
        counted += one.samples + one.thinned if one.kind == 1 else 0
        missing += one.samples if one.kind == 3 else 0
        chain = hashlib.sha256(chain + one.hash).digest()
        at += 120 + -(-len(one.payload) // 8) * 8
        found.append(one)
    assert (u32(trailer, 28), u64(trailer, 32)) == (at, found[-1].seq)
    assert (u64(trailer, 56), u64(trailer, 64)) == (counted, missing)
    assert trailer[104:136] == chain
    assert u64(trailer, 40) == sum(one.samples for one in found if one.kind == 1)
    assert u64(trailer, 48) == sum(one.thinned for one in found)
    return found


async def filled(disk: FaultyDisk) -> list[Record]:
    async with journal(disk) as log:
        for n in range(1, 60):
            await log.submit([entry(n, size=500 + n, samples=n, schema=ENCODED_SCHEMA)])
        await log.submit([gap_entry(T, Gap(GapCause.RING_OVERFLOW, 5, 6, 70, "press"))])
        await log.submit([gap_entry(T, Gap(GapCause.CORRUPT, 5, 6, None, "", 1, 2, 3))])
        return await read_all(log)


async def test_a_reader_made_from_the_tables_reads_the_same() -> None:
    disk = FaultyDisk()
    records = await filled(disk)
    files = [disk.read_bytes(path, 1 << 30) for path in segment_paths(disk)]
    assert len(files) > 2
    raw = [one for data in files for one in segment(data)]
    assert [(r.epoch, r.seq, r.kind, r.samples, r.hash, r.payload) for r in raw] == [
        (*r.position[1:], r.kind.value, r.samples, r.hash, r.payload) for r in records
    ]
    for before, after in pairwise(files):
        assert after[72:104] == before[-152:][104:136], "the chain goes on"
        assert after[48:72] == before[-152:][56:80], "the account goes on"
    for path, data in zip(segment_paths(disk), files, strict=True):
        assert path.name == f"{u64(data, 24):016x}-{u64(data, 32):016x}.seg"


async def test_a_thinner_copy_keeps_to_the_tables() -> None:
    disk = FaultyDisk()
    async with journal(disk) as log:
        await log.submit([batch_entry(scans(n)) for n in range(60)])
        await log.submit([gap_entry(T, Gap(GapCause.CORRUPT, 5, 6, None, "", 1, 2, 3))])
    before = disk.read_bytes(segment_paths(disk)[0], 1 << 30)
    async with journal(disk) as log:
        old = log._catalog.segments(T)[0]  # noqa: SLF001 - nothing else names the file
        copy = rewrite(disk, old, 60).copy
    assert copy is not None
    assert copy.path.name == old.path.name.replace(".seg", ".1.seg")
    after = disk.read_bytes(copy.path.with_name(copy.path.name + ".new"), 1 << 30)
    assert len(after) < len(before)
    raw, thin = segment(before), segment(after, 60)
    assert [(r.epoch, r.seq, r.kind, r.times, r.hash) for r in raw] == [
        (r.epoch, r.seq, r.kind, r.times, r.hash) for r in thin
    ]
    assert [r.counted for r in raw] == [r.counted for r in thin]
    assert [r.samples for r in raw] == [r.samples + r.thinned for r in thin]
    assert sum(r.thinned for r in thin) > 0
    assert before[72:104] + before[16:72] == after[72:104] + after[16:72]
    same = (slice(32, 40), slice(56, 136), slice(8, 20), slice(24, 28))
    assert [before[-152:][at] for at in same] == [after[-152:][at] for at in same]


async def test_schemas_and_gaps_stand_behind_the_index() -> None:
    disk = FaultyDisk()
    await filled(disk)
    data = disk.read_bytes(segment_paths(disk)[-1], 1 << 30)
    trailer = data[-152:]
    assert u32(trailer, 24) == 1 | 2, "sealed by an orderly stop, under a disciplined clock"
    at = u32(trailer, 0) + 56 * u32(trailer, 8)
    assert u32(trailer, 12) == 1
    schema_id, offset, length = struct.unpack("<QII", data[at : at + 16])
    assert schema_id == SCHEMA.id
    assert data[offset + 120 : offset + 120 + length] == ENCODED_SCHEMA[1]
    assert u32(trailer, 16) == 1
    gap = struct.unpack("<QQQQQqqI4x", data[at + 16 : at + 80])
    assert gap == (u64(trailer, 32), 1, 2, 3, (1 << 64) - 1, 5, 6, GapCause.CORRUPT.value)
