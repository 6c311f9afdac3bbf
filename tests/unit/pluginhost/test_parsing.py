"""What a message would unfold to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay._proto import plugin_pb2 as pb
from forebay.pluginhost.parsing import unfolds_to

PLENTY = 1 << 30


def results(columns: int, texts: int, failures: int) -> pb.FromPlugin:
    column = pb.OutputColumn(output=1, values=b"12345678", texts=["a"] * texts)
    failure = pb.Failure(window=300)
    found = pb.Results(work_id=7, columns=[column] * columns, failures=[failure] * failures)
    return pb.FromPlugin(results=found)


@given(st.integers(0, 20), st.integers(0, 8), st.integers(0, 8))
def test_it_counts_what_there_is(columns: int, texts: int, failures: int) -> None:
    data = results(columns, texts, failures).SerializeToString()
    # Each part, its values, and the message around them.
    assert unfolds_to(data, PLENTY) == 1 + columns * (2 + texts) + failures


def test_facts_count() -> None:
    ready = pb.Ready(detail="x", facts={str(number): "y" for number in range(50)})
    data = pb.FromPlugin(ready=ready).SerializeToString()
    assert unfolds_to(data, PLENTY) >= 50


def test_it_stops_when_it_is_too_much() -> None:
    data = b"\x1a\x80\x80\x80\x08" + b"\x12\x00" * (8 << 20)
    assert unfolds_to(data, 1000) == 1001


@given(st.binary(max_size=300))
def test_it_ends_whatever_comes(data: bytes) -> None:
    assert 0 <= unfolds_to(data, PLENTY) <= len(data)
    assert unfolds_to(b"\x1a" + bytes([len(data) & 127]) + data, PLENTY) >= 0
