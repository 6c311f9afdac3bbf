"""The record codec: what is written comes back, and nothing else is ever taken for a record."""

from __future__ import annotations

import hashlib

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.journal.record import (
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    RecordHeader,
    crc32c,
    decode_header,
    encode_header,
    next_chain,
    record_bytes,
    to_record,
)
from forebay.model import Position, RecordKind, Stream

U64 = st.integers(0, (1 << 64) - 1)
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
HEADERS = st.builds(
    RecordHeader,
    kind=st.sampled_from(RecordKind),
    stream=st.integers(1, len(Stream)),
    revision=st.integers(0, (1 << 16) - 1),
    offset=st.integers(0, (1 << 32) - 1),
    epoch=U64,
    seq=st.integers(1, (1 << 64) - 1),
    samples=U64,
    thinned=U64,
    counted=U64,
    missing=U64,
    time_min_ns=I64,
    time_max_ns=I64,
    length=st.integers(0, MAX_PAYLOAD_BYTES),
    crc=st.integers(0, (1 << 32) - 1),
    hash=st.binary(min_size=32, max_size=32),
)


@given(HEADERS, st.binary(max_size=40))
def test_header_round_trip(header: RecordHeader, before: bytes) -> None:
    data = before + encode_header(header) + b"payload"
    assert decode_header(data, len(before), header.offset) == header


@given(HEADERS, st.integers(0, HEADER_BYTES * 8 - 1))
def test_any_flipped_bit_makes_it_no_header(header: RecordHeader, bit: int) -> None:
    data = bytearray(encode_header(header))
    data[bit // 8] ^= 1 << bit % 8
    assert decode_header(bytes(data), 0, header.offset) is None


@given(HEADERS, st.integers(0, HEADER_BYTES - 1))
def test_a_cut_header_is_none(header: RecordHeader, size: int) -> None:
    assert decode_header(encode_header(header)[:size], 0, header.offset) is None


@given(HEADERS, st.integers(0, (1 << 32) - 1))
def test_a_header_holds_only_where_it_was_written(header: RecordHeader, offset: int) -> None:
    found = decode_header(encode_header(header), 0, offset)
    assert (found is None) == (offset != header.offset)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": 0},
        {"kind": 5},
        {"stream": 0},
        {"stream": 5},
        {"seq": 0},
        {"length": (16 << 20) + 1},
    ],
)
def test_values_that_no_writer_writes_are_refused(wrong: dict[str, int]) -> None:
    good = RecordHeader(1, 3, 0, 128, 7, 1, 10, 0, 0, 0, 1, 2, 5, 0, bytes(32))
    assert decode_header(encode_header(good), 0, 128) == good
    bad = good._replace(**wrong)  # type: ignore[arg-type]
    assert decode_header(encode_header(bad), 0, 128) is None


def test_crc_is_castagnoli() -> None:
    """The check value of CRC-32C over the digits 1 to 9."""
    assert crc32c(b"123456789") == 0xE3069283 == google_crc32c.value(b"123456789")


def test_chain_is_sha256_of_chain_and_hash() -> None:
    chain, payload_hash = bytes(32), hashlib.sha256(b"x").digest()
    assert next_chain(chain, payload_hash) == hashlib.sha256(chain + payload_hash).digest()


@given(st.integers(0, 1 << 20))
def test_records_are_aligned(length: int) -> None:
    size = record_bytes(length)
    assert size % 8 == 0
    assert 0 <= size - HEADER_BYTES - length < 8


def test_to_record() -> None:
    header = RecordHeader(3, 2, 4, 128, 9, 8, 7, 5, 70, 60, 1, 2, 5, 11, b"h" * 32)
    record = to_record(header, b"bytes")
    assert record.position == Position(Stream.EVENTS, 9, 8)
    assert record.kind is RecordKind.GAP
    assert (record.samples, record.thinned, record.revision, record.crc) == (7, 5, 4, 11)
    assert (record.time_min_ns, record.time_max_ns) == (1, 2)
    assert (record.hash, record.payload) == (b"h" * 32, b"bytes")
