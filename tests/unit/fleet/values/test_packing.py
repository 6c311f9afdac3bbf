"""Samples as columns: what comes out is what went in, whatever changes on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hypothesis.strategies as st
from hypothesis import given

from forebay_fleet._proto import values_pb2 as pb
from forebay_fleet.query import BAD, Clock, Value
from forebay_fleet.values.asking import Asked
from forebay_fleet.values.packing import look
from forebay_fleet.values.tailing import Fresh, Look, Missed, Tail

if TYPE_CHECKING:
    from collections.abc import Sequence

CLOCKS = (Clock.RIGHT, Clock.MENDED, Clock.UNSYNCED)
NS = st.integers(-(1 << 62), 1 << 62)
ANY = (
    st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.binary(max_size=5)
)


def made(value: float | str | bytes | None, at: tuple[int, int], status: int, rest: Any) -> Value:
    """Give a sample; a bad one where there is no value."""
    return Value(*at, value, BAD if value is None else status, *rest)


VALUES = st.lists(
    st.builds(
        made,
        st.none() | ANY,
        st.tuples(NS, NS),
        st.integers(0, BAD - 1),
        st.tuples(st.sampled_from(CLOCKS), st.integers(0, (1 << 63) - 1), st.integers(1, 1 << 62)),
    ),
    max_size=12,
)


def unpacked(parts: Sequence[pb.Samples]) -> list[Value]:
    found = []
    for part in parts:
        count = len(part.time_ns)
        kind = part.WhichOneof("values")
        values = getattr(part, kind).entries if kind else [None] * count
        for i in range(count):
            bad = bool(part.status[i] & BAD)
            found.append(
                Value(
                    *(part.time_ns[i], part.received_ns[i]),
                    *(None if bad else values[i], part.status[i]),
                    CLOCKS[part.clock[i] if len(part.clock) > 1 else part.clock[0]],
                    *(part.epoch[i] if len(part.epoch) > 1 else part.epoch[0], part.seq[i]),
                )
            )
    return found


@given(VALUES)
def test_what_comes_out_is_what_went_in(values: list[Value]) -> None:
    told = Look([Fresh("a/b", "bar", values, wide=True)], [], more=False)
    (series,) = pb.LiveReply.FromString(look(Tail(Asked("g", "a/b")), told)).series
    assert unpacked(series.parts) == values
    assert [type(v.value) for v in unpacked(series.parts)] == [type(v.value) for v in values]
    kinds = {type(value.value) for value in values} - {type(None)}
    if len(kinds) == 1 and kinds != {int}:
        assert len(series.parts) == 1


def test_a_tag_of_one_type_is_one_part_whatever_is_bad() -> None:
    values = [
        Value(n, n, None if n % 3 == 0 else n, BAD if n % 3 == 0 else 0, Clock.RIGHT, 7, n)
        for n in range(10)
    ]
    for wide, kind in ((False, "integers"), (True, "naturals")):
        told = Look([Fresh("a/b", "", values, wide=wide)], [], more=False)
        (series,) = pb.LiveReply.FromString(look(Tail(Asked("g", "a/b")), told)).series
        (part,) = series.parts
        assert part.WhichOneof("values") == kind
        assert list(part.epoch) == [7]
        assert list(getattr(part, kind).entries) == [0, 1, 2, 0, 4, 5, 0, 7, 8, 0]


def test_how_far_and_what_was_left_out_are_told_by_name() -> None:
    tail = Tail(Asked("g", "a/b"), {2: (5, 6), 3: (1 << 32, 9)})
    reply = pb.LiveReply.FromString(look(tail, Look([], [Missed(3, 1 << 32, 2, 8)], more=False)))
    assert [(p.stream, p.position.epoch, p.position.seq) for p in reply.at] == [
        ("events", 5, 6),
        ("telemetry", 1 << 32, 9),
    ]
    assert list(reply.missed) == [pb.Missed(stream="telemetry", epoch=1 << 32, first=2, last=8)]
