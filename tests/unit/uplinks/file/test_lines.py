"""Groups of lines: what a torn or altered one looks like to the scan."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.readings import note, readings
from forebay.uplinks.file import lines
from forebay.uplinks.file.spool import Spooler
from forebay.uplinks.file.store import Row
from support.batches import SCHEMA, batch_record, dense, position, rows_of


def row(seq: int, absent_from: int = 0) -> Row:
    record = batch_record(seq, dense(1 + seq % 3, seq))
    found = readings(record, SCHEMA)
    return Row(record, found, note(record), historical=seq % 2 == 0, absent_from=absent_from)


GROUPS = [lines.group(row(seq, absent_from=5 if seq == 9 else 0)) for seq in (1, 2, 3, 9)]
WHOLE = b"".join(GROUPS)
ENDS = [sum(map(len, GROUPS[: n + 1])) for n in range(len(GROUPS))]


def test_whole_groups_are_found_and_say_what_they_settle() -> None:
    found = list(lines.scan(WHOLE, 0))
    assert [commit.position for commit in found] == [position(seq) for seq in (1, 2, 3, 9)]
    assert [commit.first_seq for commit in found] == [1, 2, 3, 5]
    assert [commit.end for commit in found] == ENDS
    assert [c.position.seq for c in lines.scan(WHOLE, ENDS[1])] == [3, 9]
    assert list(lines.scan(b"", 0)) == []


@given(st.integers(0, len(WHOLE)), st.binary(max_size=600))
def test_a_torn_end_ends_the_scan(cut: int, rubbish: bytes) -> None:
    torn = WHOLE[:cut] + bytes(len(rubbish)) + rubbish
    found = [commit.end for commit in lines.scan(torn, 0)]
    assert found == [end for end in ENDS if end <= cut][: len(found)]
    assert len(found) >= len([end for end in ENDS if end <= cut])


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 7))
def test_a_flipped_bit_ends_the_scan_before_it(at: int, bit: int) -> None:
    rotten = bytearray(WHOLE)
    rotten[at] ^= 1 << bit
    found = [commit.end for commit in lines.scan(bytes(rotten), 0)]
    assert found == [end for end in ENDS if end <= at]


def test_a_spool_gives_back_what_went_in() -> None:
    writer, reader = Spooler(), Spooler()
    for seq in range(1, 6):
        given_row = row(seq)
        group = writer.group(given_row)
        (commit,) = lines.scan(group, 0)
        assert commit.position == given_row.record.position
        back = reader.row(group)
        assert back.historical == given_row.historical
        assert back.found is not None
        assert rows_of(back.record) == rows_of(given_row.record)
        assert back.found.values() == readings(given_row.record, SCHEMA).values()
    assert b'"schema"' not in group, "told once in a spool"
    refused = Row(batch_record(7), None, None, historical=False, refused="Unreadable")
    back = reader.row(writer.group(refused))
    assert (back.found, back.note, back.refused) == (None, None, "Unreadable")
