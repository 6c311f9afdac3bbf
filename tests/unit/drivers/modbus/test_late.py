"""Which transaction ids are free while answers are owed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.drivers.modbus.late import BELIEVED_S, MOST, LateAnswers
from forebay.errors import DeviceUnreachable

ids = st.integers(0, 0xFFFF)


@given(st.sets(ids, max_size=40), ids, st.integers(1, 1000))
def test_no_id_is_given_out_under_which_an_answer_may_still_come(
    owed: set[int], first: int, count: int
) -> None:
    late = LateAnswers()
    for number in owed:
        late.add(number, 1, 0.0, 0.0)
    begin = late.free_from(first, count, 1.0)
    assert not owed & {(begin + i) & 0xFFFF for i in range(count)}
    passed = {(first + i) & 0xFFFF for i in range((begin - first) & 0xFFFF)}
    assert len(passed) < 41 * 1000


def test_an_answer_is_believed_in_for_a_while_only() -> None:
    late = LateAnswers()
    late.add(5, 1, 0.0, 10.0)
    assert late.free_from(5, 1, 10.0 + BELIEVED_S) == 6
    assert late.free_from(5, 1, 10.1 + BELIEVED_S) == 5


def test_where_no_run_of_ids_is_free_a_new_connection_is_needed() -> None:
    late = LateAnswers()
    for number in range(0, 0x10000, 0x100):
        late.add(number, 1, 0.0, 0.0)
    assert late.free_from(0, 0xFF, 0.0) == 1
    with pytest.raises(DeviceUnreachable, match="256 answers are still owed"):
        late.free_from(0, 0x100, 0.0)


def test_so_many_are_remembered_and_no_more() -> None:
    late = LateAnswers()
    for number in range(MOST + 5):
        late.add(number, 7, float(number), 0.0)
    assert len(late) == MOST
    assert 4 not in late
    assert late.take(5) == (7, 5.0)
    assert 5 not in late


def test_a_late_answer_is_known_by_its_first_bytes() -> None:
    late = LateAnswers()
    late.add(0x1234, 1, 0.0, 0.0)
    assert late.may_begin(b"\x12")
    assert late.may_begin(b"\x12\x34\x00")
    assert not late.may_begin(b"\x13")
    assert not late.may_begin(b"\x12\x35")
