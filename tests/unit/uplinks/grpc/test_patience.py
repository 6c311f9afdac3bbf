"""A slow line is given time, a dead one is not."""

from __future__ import annotations

from forebay.uplinks.grpc.patience import FIRST_S, MOST_S, Patience


def session(of: Patience, rate: float, *sizes: int, dead: bool = False) -> bool:
    """Send records over a line of `rate` bytes a second; give whether all were answered."""
    at_s = 1000.0
    of.opened(at_s)
    for size in sizes:
        of.sent(size, at_s)
    heard_s = at_s
    for number, size in enumerate(sizes, 1):
        if dead and number == len(sizes):
            break
        at_s += size / rate
        if at_s - heard_s > of.seconds:
            break
        of.heard(number, at_s)
        heard_s = at_s
    else:
        of.ended(at_s)
        return True
    of.ended(heard_s + of.seconds + 1)
    return False


def test_it_begins_impatient() -> None:
    assert Patience().seconds == FIRST_S


def test_a_large_record_gets_over_a_slow_line_in_a_few_sessions() -> None:
    of = Patience()
    assert sum(not session(of, 2_000, 250_000) for _ in range(6)) == 4
    assert of.seconds == 160


def test_small_records_that_were_answered_in_time_say_how_slow_it_is() -> None:
    of = Patience()
    assert not session(of, 2_000, 300, 300, 250_000)
    assert of.seconds > 125, "known at once, not by doubling"
    assert session(of, 2_000, 300, 250_000)


def test_a_dead_line_is_found_as_fast_the_tenth_time() -> None:
    of = Patience()
    for _ in range(10):
        assert not session(of, 1_000_000, 60_000, 60_000, 250_000, dead=True)
        assert of.seconds == FIRST_S


def test_what_a_slow_line_taught_is_forgotten_once_it_is_fast_and_dead() -> None:
    of = Patience()
    session(of, 2_000, 300, 250_000)
    assert of.seconds > FIRST_S
    session(of, 1_000_000, 60_000, 250_000, dead=True)
    assert of.seconds == FIRST_S


def test_an_attempt_that_opened_nothing_teaches_nothing() -> None:
    of = Patience()
    of.ended(1e6)
    assert of.seconds == FIRST_S


def test_it_has_an_end() -> None:
    of = Patience()
    for _ in range(20):
        session(of, 1, 250_000)
    assert of.seconds == MOST_S
