"""Segment header, footer and name: round trips, and damage that is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.journal.segment import (
    HEADER_BYTES,
    INDEX,
    TRAILER_BYTES,
    JournaledGap,
    SegmentHeader,
    Summary,
    Totals,
    decode_header,
    decode_index,
    decode_sections,
    decode_trailer,
    encode_footer,
    encode_header,
    file_name,
    footer_bytes,
    parse_name,
)
from forebay.model import Gap, GapCause, Stream

U63 = st.integers(0, (1 << 63) - 1)
HEADERS = st.builds(
    SegmentHeader,
    stream=st.sampled_from(Stream),
    epoch=U63,
    first_seq=U63,
    created_ns=U63,
    before=st.builds(Totals, U63, U63, U63),
    chain=st.binary(min_size=32, max_size=32),
    level_s=st.sampled_from((0, 10, 600)),
    revision=st.integers(0, 99),
)
GAP = Gap(GapCause.RETENTION_BYTES, -5, 6, 70, "", 3, 1, 9)
SUMMARY = Summary(
    last_seq=42,
    count=3,
    samples=30,
    thinned=70,
    end=1000,
    file_bytes=0,
    after=Totals(130, 7, 45),
    chain=b"c" * 32,
    time_min_ns=-1,
    time_max_ns=99,
    sealed_ns=12345,
    clean=True,
    schemas={17: (128, 50), 18: (300, 60)},
    gaps=(JournaledGap(41, GAP), JournaledGap(42, Gap(GapCause.CORRUPT, 0, 0, None, "", 3, 4, 4))),
)
ROWS = np.array([(128, 50, 0, 2, 100, 0, 5, 1, 2), (300, 60, 1, 2, 100, 0, 0, 1, 2)] * 2, INDEX)[:3]


def sealed() -> bytes:
    """A file of 1,000 bytes of records and a footer behind them."""
    return bytes(1000) + encode_footer(ROWS, SUMMARY, 1000)


@given(HEADERS)
def test_header_round_trip(header: SegmentHeader) -> None:
    data = encode_header(header)
    assert len(data) == HEADER_BYTES
    assert decode_header(data + b"records") == header


@given(HEADERS, st.integers(0, HEADER_BYTES * 8 - 1))
def test_any_flipped_bit_of_a_header_is_seen(header: SegmentHeader, bit: int) -> None:
    data = bytearray(encode_header(header))
    data[bit // 8] ^= 1 << bit % 8
    assert decode_header(bytes(data)) is None


@given(U63, U63, U63, U63)
def test_names_sort_by_epoch_and_seq(epoch: int, seq: int, epoch2: int, seq2: int) -> None:
    one, two = file_name(epoch, seq), file_name(epoch2, seq2)
    assert (one < two) == ((epoch, seq) < (epoch2, seq2))
    assert parse_name(one) == (epoch, seq, 0)
    assert parse_name(file_name(epoch, seq, 3)) == (epoch, seq, 3)


@pytest.mark.parametrize(
    "name",
    ["x.seg", file_name(1, 2).replace(".", ".0."), "0-1.seg", file_name(1, 2) + ".new", "lock"],
)
def test_other_files_are_no_segments(name: str) -> None:
    assert parse_name(name) is None


def test_footer_round_trip() -> None:
    data = sealed()
    assert len(data) == 1000 + footer_bytes(3, 2, 2)
    tail = decode_trailer(data[-TRAILER_BYTES:], len(data))
    assert tail is not None
    sections = data[tail.sections_offset :][: tail.sections_bytes]
    summary = decode_sections(tail, sections)
    assert summary is not None
    assert summary.file_bytes == len(data)
    for name in (
        "last_seq",
        "samples",
        "thinned",
        "after",
        "chain",
        "schemas",
        "gaps",
        "clean",
        "end",
    ):
        assert getattr(summary, name) == getattr(SUMMARY, name)
    rows = decode_index(tail, data[tail.index_offset :][: tail.index_bytes])
    assert rows is not None
    assert (rows == ROWS).all()


@given(st.integers(0, footer_bytes(3, 2, 2) * 8 - 1))
def test_any_flipped_bit_of_a_footer_is_seen(bit: int) -> None:
    data = bytearray(sealed())
    data[1000 + bit // 8] ^= 1 << bit % 8
    tail = decode_trailer(bytes(data[-TRAILER_BYTES:]), len(data))
    if tail is None:
        return
    sections = bytes(data[tail.sections_offset :][: tail.sections_bytes])
    index = bytes(data[tail.index_offset :][: tail.index_bytes])
    seen = decode_sections(tail, sections) is None or decode_index(tail, index) is None
    in_padding = bit // 8 in range(footer_bytes(3, 2, 2) - 12, footer_bytes(3, 2, 2) - 8)
    assert seen or in_padding


def test_a_trailer_of_another_file_size_is_refused() -> None:
    data = sealed()
    assert decode_trailer(data[-TRAILER_BYTES:], len(data) + 8) is None
