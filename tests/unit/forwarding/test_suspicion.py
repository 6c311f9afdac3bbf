"""A record is poison only if the destination breaks on it right after it took another one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.forwarding.suspicion import NEIGHBOURS, PATIENCE, Suspicion
from forebay.model import Position, Stream

T = Stream.TELEMETRY
X, Y, Z = (Position(T, 1, seq) for seq in (7, 8, 9))


def suspected() -> Suspicion:
    suspicion = Suspicion()
    for _ in range(PATIENCE):
        assert suspicion.alone is None
        suspicion.broke([X, Z])
    return suspicion


def test_the_oldest_of_five_broken_sessions_goes_alone() -> None:
    suspicion = suspected()
    assert (suspicion.alone, suspicion.compared) == (X, None)


def test_progress_clears() -> None:
    suspicion = Suspicion()
    for n in range(10 * PATIENCE):
        suspicion.broke([Position(T, 1, n)])
    assert suspicion.alone is None


def test_one_lane_that_gets_on_does_not_hide_another_that_does_not() -> None:
    suspicion = Suspicion()
    for n in range(PATIENCE):
        suspicion.broke([Position(T, 1, n + 1), Position(T, 2, 5)])
    assert suspicion.alone == Position(T, 2, 5)


def test_sessions_with_nothing_in_flight_say_nothing() -> None:
    suspicion = suspected()
    suspicion.broke([])
    assert suspicion.alone == X


def compared() -> Suspicion:
    suspicion = suspected()
    suspicion.broke([X])
    assert (suspicion.alone, suspicion.compared) == (None, (X, NEIGHBOURS[0]))
    return suspicion


def test_what_follows_in_the_same_message_is_asked_alone_too() -> None:
    suspicion = suspected()
    suspicion.ask_alone(Y)
    suspicion.broke([Y])
    assert suspicion.compared == (Y, NEIGHBOURS[0])


def test_poison_is_what_breaks_again_right_after_another_was_taken() -> None:
    suspicion = compared()
    suspicion.neighbour_taken()
    suspicion.broke([X])
    assert (suspicion.convicted, suspicion.alone, suspicion.compared) == (X, None, None)
    suspicion.broke([X])
    assert suspicion.convicted == X, "until it is set aside"
    suspicion.clear()
    assert suspicion.convicted is None


def test_without_a_neighbour_yet_nothing_is_decided() -> None:
    suspicion = compared()
    suspicion.broke([X])
    assert suspicion.compared == (X, NEIGHBOURS[0])


def test_broken_on_all_neighbours_the_destination_is_sick() -> None:
    suspicion = compared()
    for distance in NEIGHBOURS:
        assert suspicion.compared == (X, distance)
        suspicion.broke([Y])
    assert (suspicion.alone, suspicion.compared, suspicion.convicted) == (None, None, None)
    for _ in range(PATIENCE - 1):
        suspicion.broke([X])
    assert suspicion.alone is None, "counted anew"


@given(
    st.lists(
        st.one_of(
            st.lists(st.sampled_from([X, Y, Z]), unique=True), st.sampled_from(["taken", "clear"])
        ),
        max_size=40,
    )
)
def test_nobody_is_convicted_unless_a_neighbour_was_taken(
    happened: list[list[Position] | str],
) -> None:
    suspicion, taken = Suspicion(), False
    for what in happened:
        if what == "clear":
            suspicion.clear()
            taken = False
        elif what == "taken":
            if suspicion.compared:
                suspicion.neighbour_taken()
                taken = True
        elif not isinstance(what, str):
            suspicion.broke(what)
        assert taken or suspicion.convicted is None
        asked = [suspicion.alone, suspicion.compared, suspicion.convicted]
        assert len([one for one in asked if one]) <= 1


def test_what_a_slow_line_may_still_carry_is_not_convicted() -> None:
    suspicion = compared()
    for _ in range(20):
        suspicion.neighbour_taken()
        suspicion.broke([X], on_its_way=True)
        assert suspicion.compared == (X, NEIGHBOURS[0])
    suspicion.broke([X])
    assert suspicion.convicted is None, "that neighbour was taken in another session"
    suspicion.neighbour_taken()
    suspicion.broke([X])
    assert suspicion.convicted == X


def test_who_has_no_neighbour_says_so_until_it_has() -> None:
    suspicion = compared()
    assert suspicion.held == ""
    suspicion.lonely = True
    assert "telemetry 1/7, which waits for another" in suspicion.held
    suspicion.clear()
    assert suspicion.held == ""
