"""The estimate of what is still to do."""

from __future__ import annotations

from forebay.forwarding.status import Backlog, backlog
from forebay.model import Position, Stream
from support.memory_journal import MemorySegment

T = Stream.TELEMETRY


def segment(epoch: int, first: int, last: int, *, stream: Stream = T) -> MemorySegment:
    """Give one of 10 bytes and 1 s a record, at its seq."""
    return MemorySegment(
        stream, epoch, first, last, 10 * (last - first + 1), first * 10**9, (last + 1) * 10**9
    )


def at(epoch: int, seq: int) -> dict[Stream, Position]:
    return {stream: Position(stream, 0, 0) for stream in Stream} | {T: Position(T, epoch, seq)}


def test_everything_is_pending_before_the_first_ack() -> None:
    assert backlog([segment(1, 1, 10), segment(1, 11, 14)], at(0, 0)) == Backlog(14, 140, 10**9)


def test_nothing_is_pending_after_the_last() -> None:
    assert backlog([segment(1, 1, 10)], at(1, 10)) == Backlog(0, 0, None)
    assert backlog([segment(1, 1, 10)], at(2, 0)) == Backlog(0, 0, None)
    assert backlog([segment(1, 1, 0)], at(0, 0)) == Backlog(0, 0, None)


def test_the_segment_that_is_cut_counts_in_part() -> None:
    segments = [segment(1, 1, 10), segment(1, 11, 20), segment(2, 1, 5)]
    assert backlog(segments, at(1, 14)) == Backlog(11, 110, 10**9)
    assert backlog(segments[:2], at(1, 14)) == Backlog(6, 60, 15 * 10**9)


def test_retired_segments_do_not_count() -> None:
    assert backlog([segment(1, 11, 20)], at(1, 4)) == Backlog(10, 100, 11 * 10**9)


def test_segments_without_samples_have_no_age() -> None:
    bare = MemorySegment(T, 1, 1, 2, 20, 0, 0)
    assert backlog([bare], at(0, 0)) == Backlog(2, 20, None)
    assert backlog([bare, segment(2, 5, 5)], at(0, 0)) == Backlog(3, 30, 5 * 10**9)


def test_streams_add_up() -> None:
    segments = [segment(1, 1, 2, stream=Stream.EVENTS), segment(1, 5, 6)]
    assert backlog(segments, at(1, 5)) == Backlog(3, 30, 10**9)
