"""How far an ordered reader may go: never beyond a hole, across the runs of the agent in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.ingest import ALL_HEADS
from forebay_fleet.watermark import watermarks
from support.fleet import anchor
from support.fleet_ingest import EPOCH, Server, gap
from support.fuzz import examples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND, THIRD = 2 << 32, 3 << 32


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.hello()
    yield server
    server.store.close()


def mark(server: Server) -> tuple[int, int, int]:
    (found,) = watermarks(server.lines())
    assert (found.gateway, found.stream) == ("g", uplink_pb2.TELEMETRY)
    return found.epoch, found.seq, found.open


def test_it_stands_before_the_first_hole(server: Server) -> None:
    server.hello((1, 9))
    assert mark(server) == (0, 0, 8)
    server.send(anchor(1), anchor(2), anchor(4))
    assert mark(server) == (EPOCH, 2, 5)
    server.send(anchor(3))
    assert mark(server) == (EPOCH, 4, 4)
    server.send(gap(8, 5, 7))
    assert mark(server) == (EPOCH, 8, 0)


def test_a_run_is_passed_once_a_hello_told_how_long_it_is(server: Server) -> None:
    """Until then the old run may still have records behind the last one that came."""
    server.send(anchor(1), anchor(2))
    server.send(anchor(1, epoch=SECOND))
    assert mark(server) == (EPOCH, 2, 0)
    server.hello((1, 4), (1, 3, SECOND))
    assert mark(server) == (EPOCH, 2, 2)
    server.send(anchor(3))
    assert mark(server) == (SECOND, 1, 1)


def test_a_run_is_passed_once_a_hello_named_the_next_though_nothing_stands_in_that_yet(
    server: Server,
) -> None:
    server.send(anchor(1), anchor(2))
    server.hello((1, 3), (1, 1, SECOND))
    assert len(server.lines()) == 1, "what holds nothing makes no line"
    server.send(anchor(1, epoch=SECOND))
    assert mark(server) == (SECOND, 1, 0)
    server.hello((1, 2, SECOND))
    assert mark(server) == (SECOND, 1, 0)
    assert [line.gone_earlier for line in server.lines()] == [0, 0]


def test_a_journal_that_began_anew_comes_behind_what_was_there(server: Server) -> None:
    """Its first run has a lower number than the last of the old one; a reader has passed that."""
    server.hello((1, 9, THIRD))
    server.send(anchor(1, epoch=THIRD), anchor(2, epoch=THIRD))
    assert mark(server) == (THIRD, 2, 6)
    assert server.hello((1, 4), (1, 1, SECOND)).newest_epoch == THIRD
    fourth = 4 << 32
    assert server.hello((1, 4), (1, 1, fourth)).newest_epoch == THIRD
    assert mark(server) == (THIRD, 8, 3), "what the old one had not delivered will not come"
    server.send(anchor(1), anchor(2), anchor(3))
    server.send(anchor(1, epoch=fourth))
    assert [line.epoch for line in server.lines()] == [THIRD, EPOCH, fourth]
    assert mark(server) == (fourth, 1, 0)
    assert server.verified() == []


def test_what_very_many_heads_leave_out_may_still_come(server: Server) -> None:
    epochs = [number << 32 for number in range(1, ALL_HEADS + 2)]
    server.hello((1, 2, epochs[-2]))
    server.hello(*((1, 2, epoch) for epoch in (*epochs[:-2], epochs[-1])))
    assert mark(server)[2] == len(epochs)
    server.hello(*((1, 2, epoch) for epoch in (*epochs[:-3], epochs[-1])))
    assert mark(server)[2] == len(epochs) - 2


def test_a_live_lane_does_not_move_it(server: Server) -> None:
    server.hello((1, 100), (1, 50, SECOND))
    server.send(anchor(49, epoch=SECOND))
    assert mark(server) == (0, 0, 147)
    server.send(*(anchor(seq) for seq in range(1, 100)))
    assert mark(server) == (EPOCH, 99, 48)
    server.send(*(anchor(seq, epoch=SECOND) for seq in range(1, 49)))
    assert mark(server) == (SECOND, 49, 0)


def test_a_run_that_is_not_offered_any_more_has_ended_where_it_is(server: Server) -> None:
    """The gateway offers all from the oldest run that is not delivered on."""
    server.hello((1, 3))
    server.send(anchor(1), anchor(2), anchor(3))
    server.hello((1, 2, SECOND))
    server.send(anchor(1, epoch=SECOND))
    assert mark(server) == (SECOND, 1, 0)


def test_what_is_gone_with_its_run_does_not_hold_it_for_ever(server: Server) -> None:
    server.hello((1, 9))
    server.send(anchor(1))
    server.hello((1, 2, SECOND))
    server.send(anchor(1, epoch=SECOND))
    assert mark(server) == (SECOND, 1, 0)
    finding = server.finding()
    assert (finding.unexplained, finding.problems) == (7, [])


def test_streams_and_gateways_have_their_own(server: Server) -> None:
    server.send(anchor(1), anchor(2))
    server.send(anchor(1, stream=uplink_pb2.EVENTS))
    server.hello(name="another")
    server.send(anchor(1))
    marks = {(m.gateway, m.stream): m.position for m in watermarks(server.lines())}
    assert marks == {
        ("g", uplink_pb2.EVENTS): (EPOCH, 1),
        ("g", uplink_pb2.TELEMETRY): (EPOCH, 2),
        ("another", uplink_pb2.TELEMETRY): (EPOCH, 1),
    }


@examples(25)
@given(data=st.data())
def test_it_never_goes_back_and_never_beyond_what_is_missing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Three runs whose records come in any order, with Hellos between."""
    server = Server(tmp_path_factory.mktemp("store"))
    lengths = {EPOCH: data.draw(st.integers(1, 4)), SECOND: data.draw(st.integers(1, 4)), THIRD: 3}
    everything = [(epoch, seq) for epoch in lengths for seq in range(1, lengths[epoch] + 1)]
    here: set[tuple[int, int]] = set()
    last = (0, 0)
    server.hello(*((1, lengths[epoch] + 1, epoch) for epoch in lengths))
    for epoch, seq in data.draw(st.permutations(everything)):
        server.send(anchor(seq, epoch=epoch))
        here.add((epoch, seq))
        reached = mark(server)[:2]
        assert reached >= last
        assert all(position in here for position in everything if position <= reached)
        assert reached == max(
            (p for p in everything if all(q in here for q in everything if q <= p)), default=(0, 0)
        )
        if data.draw(st.booleans()):
            server.hello(*((1, lengths[epoch] + 1, epoch) for epoch in lengths))
        last = reached
    assert mark(server) == (THIRD, 3, 0)
    server.store.close()
