"""Every receipt is checked against what was sent; the account of bytes never drifts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forebay.errors import UplinkMisbehaved
from forebay.forwarding.coverage import Coverage
from forebay.forwarding.lanes import Lane
from forebay.forwarding.window import MAX_CREDIT_BYTES, MAX_RECORDS, Window
from forebay.interfaces import Receipt, Resume
from forebay.model import Position, Stream
from forebay.testing.records import make_record

T, E = Stream.TELEMETRY, 1 << 32
START = Position(T, 0, 0)


def ack(seq: int, credit: int = 1000, *rejected: int, epoch: int = E) -> Receipt:
    refused = tuple((Position(T, epoch, n), "BadDecodingError") for n in rejected)
    return Receipt(Resume(T, epoch, seq), credit, refused)


def sent(window: Window, *seqs: int, size: int = 10, at_s: float = 0.0, epoch: int = E) -> None:
    for seq in seqs:
        window.sent(make_record(seq, bytes(size), epoch=epoch), Lane.LIVE, at_s)


def test_acks_free_what_they_cover() -> None:
    window = Window({}, 1000)
    sent(window, 1, 2, 3, 4)
    assert (window.unacked_records, window.unacked_bytes) == (4, 40)
    assert window.receive(ack(3), 1.0)[:2] == (3, 30)
    assert (window.unacked_records, window.unacked_bytes) == (1, 10)
    assert window.reached(T, Position(T, E, 4)) == Position(T, E, 3)


def test_what_is_covered_before_it_was_looked_at_stays_in_flight() -> None:
    """The destination has had something there for long; whether it is this, it has yet to say."""
    window = Window({}, 1000)
    sent(window, 1, 2, 3)
    window.handed()  # a record out of quarantine, say: it counts too
    sent(window, 4)
    assert window.receive(replace(ack(4), answered=1), 0.0).records == 1
    freed = window.receive(replace(ack(4, 1000, 2, 3), answered=3), 0.0)
    assert (freed.records, [p.seq for p, _, _ in freed.refused]) == (2, [2, 3])
    assert window.receive(replace(ack(4), answered=4), 0.0).records == 0
    assert window.receive(replace(ack(4), answered=5), 0.0).records == 1
    assert window.unacked_bytes == 0


def test_holes_in_the_journal_are_no_trouble() -> None:
    window = Window({}, 1000)
    sent(window, 3, 7, 8)
    assert window.receive(ack(5), 0.0).records == 1
    assert window.receive(ack(8), 0.0).records == 2


@pytest.mark.parametrize("seq", [3, 2**63])
def test_an_ack_beyond_what_was_sent_is_misbehaviour(seq: int) -> None:
    window = Window({}, 1000)
    sent(window, 1, 2)
    with pytest.raises(UplinkMisbehaved, match="only 2 was sent"):
        window.receive(ack(seq), 0.0)


def test_an_ack_of_an_epoch_that_was_not_sent_is_misbehaviour() -> None:
    window = Window({}, 1000)
    sent(window, 1, 2)
    with pytest.raises(UplinkMisbehaved, match="only 0 was sent"):
        window.receive(ack(1, epoch=E + 1), 0.0)


def test_an_ack_that_goes_back_is_misbehaviour() -> None:
    window = Window({}, 1000)
    sent(window, 1, 2, 3)
    window.receive(ack(2), 0.0)
    with pytest.raises(UplinkMisbehaved, match="went back"):
        window.receive(ack(1), 0.0)


def test_duplicate_and_stale_acks_are_harmless() -> None:
    window = Window({(T, E): Coverage([(1, 5)])}, 1000)
    sent(window, 6, 7)
    for stale in (0, 3, 5):
        assert window.receive(ack(stale), 0.0)[:3] == (0, 0, ())
    assert window.receive(ack(6), 0.0).records == 1
    assert window.receive(ack(6), 0.0)[:3] == (0, 0, ())
    assert window.reached(T, Position(T, E, 7)) == Position(T, E, 6)


def test_credit_bounds_bytes_in_flight() -> None:
    window = Window({}, 25)
    assert window.may_send(2, 25)
    assert not window.may_send(2, 26)
    sent(window, 1)
    assert window.may_send(1, 15)
    assert not window.may_send(1, 16)
    window.receive(ack(1, 9), 0.0)
    assert not window.may_send(2, 10)


def test_a_record_larger_than_all_credit_goes_alone() -> None:
    window = Window({}, 5)
    assert window.may_send(1, 10)
    assert not window.may_send(2, 10)
    sent(window, 1)
    assert not window.may_send(1, 0)


def test_no_credit_lets_nothing_go() -> None:
    window = Window({}, 0)
    assert not window.may_send(1, 0)
    window.receive(ack(0, 10), 0.0)
    assert window.may_send(1, 10)


def test_credit_and_records_have_limits_of_our_own() -> None:
    window = Window({}, 2**63)
    assert window.credit_bytes == MAX_CREDIT_BYTES
    assert window.may_send(MAX_RECORDS, 0)
    assert not window.may_send(MAX_RECORDS + 1, 0)


def test_the_wait_for_an_ack_begins_with_the_first_send_and_with_each_progress() -> None:
    window = Window({}, 1000)
    since = [window.waiting_since_s]
    sent(window, 1, at_s=1.0)
    sent(window, 2, at_s=2.0)
    since.append(window.waiting_since_s)
    for at_s, seq in ((3.0, 0), (4.0, 1), (5.0, 2)):
        window.receive(ack(seq), at_s)
        since.append(window.waiting_since_s)
    assert since == [None, 1.0, 1.0, 4.0, None]


def test_rejections_tell_the_samples_of_what_was_in_flight() -> None:
    window = Window({}, 1000)
    window.sent(make_record(1, samples=7), Lane.LIVE, 0.0)
    window.sent(make_record(2, samples=9), Lane.LIVE, 0.0)
    assert window.receive(ack(2, 1000, 1), 0.0).refused == (
        (Position(T, E, 1), "BadDecodingError", 7),
    )
    assert window.receive(ack(2, 1000, 1), 0.0).refused == ()
    with pytest.raises(UplinkMisbehaved, match="rejected telemetry 100000000/3"):
        window.receive(ack(2, 1000, 3), 0.0)


def test_a_later_epoch_waits_for_the_earlier_one() -> None:
    window = Window({(T, E): Coverage([(1, 4)])}, 1000)
    before = Position(T, E, 4)
    sent(window, 5, 6)
    sent(window, 1, 2, epoch=2 * E)
    window.receive(ack(1, epoch=2 * E), 0.0)
    assert window.reached(T, Position(T, 2 * E, 2)) == before
    window.receive(ack(6), 0.0)
    assert window.reached(T, Position(T, 2 * E, 2)) == Position(T, 2 * E, 1)


class Account(RuleBasedStateMachine):
    """Whatever is sent and acknowledged, the account equals a plain list's."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window({}, 200)
        self.flight: list[tuple[int, int]] = []
        self.last = 0
        self.committed = 0

    @rule(size=st.integers(0, 300), step=st.integers(1, 3))
    def send(self, size: int, step: int) -> None:
        if self.window.may_send(1, size):
            self.last += step
            sent(self.window, self.last, size=size)
            self.flight.append((self.last, size))

    @precondition(lambda self: self.last > self.committed)
    @rule(part=st.floats(0, 1))
    def acknowledge(self, part: float) -> None:
        seq = self.committed + round(part * (self.last - self.committed))
        done = [size for at, size in self.flight if at <= seq]
        self.flight = self.flight[len(done) :]
        self.committed = seq
        assert self.window.receive(ack(seq, 200), 0.0)[:2] == (len(done), sum(done))

    @rule(beyond=st.integers(1, 5))
    def acknowledge_too_much(self, beyond: int) -> None:
        with pytest.raises(UplinkMisbehaved):
            self.window.receive(ack(self.last + beyond), 0.0)

    @invariant()
    def agrees(self) -> None:
        assert self.window.unacked_records == len(self.flight)
        assert self.window.unacked_bytes == sum(size for _, size in self.flight)
        assert self.window.unacked_bytes <= 200 or len(self.flight) == 1
        assert (self.window.waiting_since_s is None) == (not self.flight)


TestAccount = Account.TestCase


@given(st.binary(max_size=50))
def test_only_the_payload_counts(payload: bytes) -> None:
    window = Window({}, 1000)
    window.sent(make_record(1, payload), Lane.LIVE, 0.0)
    assert window.unacked_bytes == len(payload)
