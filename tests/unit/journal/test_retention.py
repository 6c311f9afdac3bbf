"""Which segments go, and which gaps become one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay.journal.entry import JournalLimits, Overflow
from forebay.journal.retention import (
    SEGMENTS_MOST,
    Held,
    budget_bytes,
    full,
    merged,
    plan,
    quotas,
    relief,
    segment_bytes,
    thinnable,
)
from forebay.model import Gap, GapCause, Stream

LIMITS = JournalLimits(max_bytes=1_000_000, max_age_s=100.0, segment_bytes=4096, ring_bytes=0)
NOW_NS = 10**12
T, B, E, A = Stream.TELEMETRY, Stream.BULK, Stream.EVENTS, Stream.AUDIT


def held(stream: Stream, *sizes: int, age_s: float = 0.0) -> list[Held]:
    """Sealed segments of these sizes (kB), a second apart, and the active one behind them."""
    count = len(sizes)
    return [
        Held(
            stream,
            n,
            size * 1000,
            NOW_NS - round((age_s + count - n) * 1e9) if n < count - 1 else 0,
        )
        for n, size in enumerate(sizes)
    ]


def dropped(**streams: list[Held]) -> list[tuple[str, int, str]]:
    found = plan({Stream(name): s for name, s in streams.items()}, LIMITS, NOW_NS)
    return [(d.held.stream.value, d.held.number, d.cause.name) for d in found]


def test_quotas_add_up() -> None:
    assert quotas(1000) == {A: 50, E: 150, T: 750, B: 750}


def test_nothing_goes_while_there_is_room() -> None:
    assert dropped(telemetry=held(T, 300, 300)) == []


def test_the_oldest_goes_first_and_only_as_many_as_must() -> None:
    assert dropped(telemetry=held(T, 300, 300, 300, 300)) == [
        ("telemetry", 0, "RETENTION_BYTES"),
        ("telemetry", 1, "RETENTION_BYTES"),
    ]


def test_readings_never_push_out_events() -> None:
    drops = dropped(telemetry=held(T, 900, 900, 900), events=held(E, 70, 10))
    assert {stream for stream, *_ in drops} == {"telemetry"}


def test_a_box_that_starts_again_and_again_does_not_pile_up_segments() -> None:
    many = held(E, *([1] * (SEGMENTS_MOST + 3)))
    tiny = [replace(h, file_bytes=1, sealed_ns=h.sealed_ns and NOW_NS) for h in many]
    assert dropped(events=tiny) == [("events", n, "RETENTION_BYTES") for n in range(3)]


def test_a_full_disk_takes_readings_first_and_no_more_than_it_needs() -> None:
    there = {T: held(T, 3, 3, 3), E: held(E, 2, 2, 2), A: held(A, 1, 1)}

    def freed(need_bytes: int) -> list[tuple[str, int]]:
        return [(d.held.stream.value, d.held.number) for d in relief(there, need_bytes)]

    assert freed(0) == []
    assert freed(1) == [("telemetry", 0)]
    assert freed(3001) == [("telemetry", 0), ("telemetry", 1)]
    readings = [("telemetry", 0), ("telemetry", 1)]
    assert freed(6001) == [*readings, ("events", 0)]
    assert freed(10**9) == [*readings, ("events", 0), ("events", 1), ("audit", 0)]


def test_telemetry_and_bulk_share_oldest_first() -> None:
    bulk = [
        replace(h, sealed_ns=h.sealed_ns - 10**9) if h.sealed_ns else h for h in held(B, 500, 9)
    ]
    assert dropped(telemetry=held(T, 400, 9), bulk=bulk) == [("bulk", 0, "RETENTION_BYTES")]


def test_age_counts_from_sealing_and_spares_the_newest() -> None:
    assert dropped(events=held(E, 1, 1, 1, age_s=200)) == [
        ("events", 0, "RETENTION_AGE"),
        ("events", 1, "RETENTION_AGE"),
    ]
    sealed = [Held(E, 0, 1, 1)]
    assert dropped(events=sealed) == []


def test_a_clock_that_went_back_never_drops_the_younger_first() -> None:
    one, two, three = held(T, 500, 500, 5)
    drops = dropped(telemetry=[one, replace(two, sealed_ns=1), three])
    assert drops[0][:2] == ("telemetry", 0)


def test_nothing_grows_old_by_a_clock_that_may_be_wrong() -> None:
    assert plan({E: held(E, 1, 1, 1, age_s=200)}, LIMITS, None) == ()
    over = plan({T: held(T, 300, 300, 300, 300, age_s=200)}, LIMITS, None)
    assert [d.cause for d in over] == [GapCause.RETENTION_BYTES] * 2


def test_what_was_sealed_by_an_undisciplined_clock_ages_with_the_next_that_was_not() -> None:
    one, two, three, active = held(E, 1, 1, 1, 1, age_s=200)
    fake = [replace(h, sealed_ns=1, synced=False) for h in (one, two, three)]
    assert dropped(events=[*fake, active]) == []
    assert dropped(events=[fake[0], two, fake[2], active]) == [
        ("events", 0, "RETENTION_AGE"),
        ("events", 1, "RETENTION_AGE"),
    ]
    young = replace(two, sealed_ns=NOW_NS)
    assert dropped(events=[fake[0], young, fake[2], active]) == []


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
)
def test_what_stays_fits_or_is_the_newest(telemetry: list[int], bulk: list[int]) -> None:
    streams = {T: held(T, *telemetry), B: held(B, *bulk)}
    drops = plan(streams, LIMITS, NOW_NS)
    gone = {(d.held.stream, d.held.number) for d in drops}
    stay = [h for s in streams.values() for h in s if (h.stream, h.number) not in gone]
    room = 800_000 - sum(segment_bytes(LIMITS, s) for s in streams)
    assert sum(h.file_bytes for h in stay) <= room or all(
        h.number == len(streams[h.stream]) - 1 for h in stay
    )
    for stream, segments in streams.items():
        numbers = sorted(n for s, n in gone if s is stream)
        assert numbers == list(range(len(numbers))), "not from the oldest on"
        assert len(numbers) < len(segments), "the newest went"


def gap(seq_from: int, seq_to: int, samples: int | None = 5, epoch: int = 1) -> Gap:
    return Gap(GapCause.RETENTION_BYTES, seq_from, seq_to, samples, "", epoch, seq_from, seq_to)


def test_touching_gaps_become_one() -> None:
    (one,) = merged([gap(5, 9), gap(1, 4), gap(10, 10)])
    assert (one.seq_from, one.seq_to, one.samples) == (1, 10, 15)
    assert (one.time_from_ns, one.time_to_ns) == (1, 10)


def test_gaps_apart_stay_apart() -> None:
    other = replace(gap(5, 6), cause=GapCause.RETENTION_AGE)
    for pair in ([gap(1, 2), gap(4, 5)], [gap(1, 2), gap(3, 4, epoch=2)], [gap(3, 4), other]):
        assert len(merged(pair)) == 2


def test_the_unknown_does_not_swallow_the_known() -> None:
    assert [g.samples for g in merged([gap(1, 2), gap(3, 4, None), gap(5, 6)])] == [5, None, 5]


def test_a_gap_within_another_is_told_before_it() -> None:
    """Whoever counts what is new to him would otherwise count the inner one's samples nowhere."""
    damaged = replace(gap(54, 54, 8), cause=GapCause.CORRUPT)
    around = gap(26, 70, 100)
    assert merged([around, damaged]) == (damaged, around)


def due(**streams: list[Held]) -> tuple[str, int, int] | None:
    found = thinnable({Stream(name): s for name, s in streams.items()}, LIMITS)
    return found and (found[0].stream.value, found[0].number, found[1])


def thinned(segments: list[Held], *levels: int) -> list[Held]:
    """The oldest of `segments` at these levels."""
    return [replace(h, level_s=levels[n]) if n < len(levels) else h for n, h in enumerate(segments)]


def test_thinning_begins_at_nine_tenths() -> None:
    assert due(telemetry=held(T, *[100] * 6)) is None
    assert due(telemetry=held(T, *[100] * 7)) == ("telemetry", 0, 10)


def test_resolution_sinks_evenly_from_the_oldest_on() -> None:
    seven = held(T, *[100] * 7)
    assert due(telemetry=thinned(seven, 10)) == ("telemetry", 1, 10)
    assert due(telemetry=thinned(seven, 10, 10, 10, 10, 0)) == ("telemetry", 4, 10)
    assert due(telemetry=thinned(seven, *[10] * 5)) == ("telemetry", 0, 60)
    assert due(telemetry=thinned(seven, 60, 10, 60, 10, 60)) == ("telemetry", 1, 60)
    assert due(telemetry=thinned(seven, *[60] * 5)) == ("telemetry", 0, 600)
    assert due(telemetry=thinned(seven, *[600] * 5)) is None, "then the oldest goes"


def test_the_newest_keeps_all_of_its_resolution() -> None:
    """Two segments at least, and a tenth of the pool."""
    assert due(telemetry=thinned(held(T, *[100] * 7), *[600] * 5)) is None
    small = held(T, *[350, 300], *[10] * 7)
    assert due(telemetry=thinned(small, 600, 600)) is None
    many = held(T, *[350, 300], *[10] * 9)
    assert due(telemetry=thinned(many, 600, 600)) == ("telemetry", 2, 10)


def test_what_is_begun_or_passed_is_not_thinned() -> None:
    one, two, *rest = held(T, *[100] * 7)
    begun = replace(one, begun=True)
    assert due(telemetry=[begun, replace(two, passed=True), *rest]) == ("telemetry", 2, 10)


def test_only_streams_that_thin_are_thinned() -> None:
    assert due(events=held(E, *[20] * 9)) is None
    assert due(bulk=held(B, *[100] * 8)) is None


def test_what_all_have_passed_goes_before_anything_is_thinned() -> None:
    one, *rest = held(T, *[100] * 7)
    assert dropped(telemetry=[one, *rest]) == []
    assert dropped(telemetry=[replace(one, passed=True), *rest]) == [
        ("telemetry", 0, "RETENTION_BYTES")
    ]
    assert due(telemetry=rest) is None


def keeping(stream: Stream, how: Overflow) -> JournalLimits:
    return replace(LIMITS, overflow={**LIMITS.overflow, stream: how})


@pytest.mark.parametrize("how", [Overflow.DROP_NEWEST, Overflow.BLOCK])
def test_a_stream_that_keeps_its_oldest_is_full_instead(how: Overflow) -> None:
    limits = keeping(B, how)
    bulk = held(B, *[100] * 6)
    assert full({B: bulk[:3]}, limits) == frozenset()
    assert full({B: bulk}, limits) == {B}
    passed = [replace(h, passed=True) for h in bulk[:4]] + bulk[4:]
    assert full({B: passed}, limits) == frozenset()
    assert full({B: bulk}, LIMITS) == frozenset()


def test_a_stream_that_keeps_its_oldest_makes_its_neighbour_go() -> None:
    limits = keeping(B, Overflow.DROP_NEWEST)
    there = {B: held(B, *[100] * 4), T: held(T, *[100] * 5)}
    old = [replace(h, sealed_ns=h.sealed_ns and h.sealed_ns - 10**10) for h in there[B]]
    gone = [(d.held.stream, d.held.number) for d in plan({**there, B: old}, limits, NOW_NS)]
    assert gone == [(T, 0), (T, 1)]
    old = [replace(h, passed=True) for h in old]
    gone = [(d.held.stream, d.held.number) for d in plan({**there, B: old}, limits, NOW_NS)]
    assert gone == [(B, 0), (B, 1), (B, 2)]


def test_what_is_kept_still_grows_old() -> None:
    limits = keeping(E, Overflow.DROP_NEWEST)
    assert plan({E: held(E, *[50] * 9)}, limits, NOW_NS) == ()
    drops = plan({E: held(E, 1, 1, 1, age_s=200)}, limits, NOW_NS)
    assert [d.cause for d in drops] == [GapCause.RETENTION_AGE] * 2


# --- a disk with less room ------------------------------------------------------------------------


@pytest.mark.parametrize(("free", "budget"), [(900, 1000), (700, 950), (0, 250), (1 << 40, 1000)])
def test_the_journal_counts_on_no_more_than_its_disk_has(free: int, budget: int) -> None:
    assert budget_bytes(1000, 300, free, 50) == budget
    assert budget_bytes(1000, 10, 0, 50) == 0


def test_on_a_small_disk_it_thins_and_nothing_goes_that_somebody_lacks() -> None:
    small = replace(LIMITS, max_bytes=400_000)
    there = {T: held(T, *([30] * 12))}
    assert thinnable(there, LIMITS) is None
    assert thinnable(there, small) == (there[T][0], 10)
    assert plan(there, LIMITS, NOW_NS, small) == ()
    assert len(plan(there, small, NOW_NS)) > 0, "where that is all that it may have"
    passed = {T: [replace(h, passed=h.number < 8) for h in there[T]]}
    gone = plan(passed, LIMITS, NOW_NS, small)
    assert [drop.held.number for drop in gone] == [0, 1, 2, 3]


@pytest.mark.parametrize("how", [Overflow.DROP_NEWEST, Overflow.BLOCK])
def test_what_one_consumer_has_does_not_keep_a_stream_full(how: Overflow) -> None:
    limits = keeping(B, how)
    there = {B: [replace(h, delivered=True) for h in held(B, *([100] * 9))]}
    assert full(there, limits) == frozenset()
    assert [drop.held.number for drop in plan(there, limits, NOW_NS)] == [0, 1]
