"""Which works may go out, and what a failure does to them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.pluginhost.owed import Ledger
from support.plugins import piece, work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.pluginhost.seams import Work


def split(whole: Work) -> Sequence[Work]:
    return [piece(whole, window) for window in whole.windows]


def send(ledger: Ledger) -> list[list[int]]:
    """Send all that may go; give the numbers of their windows."""
    sent = []
    for owed in ledger.sendable():
        owed.answer = asyncio.Future()
        sent.append([window.number for window in owed.work.windows])
    return sent


async def test_no_more_than_in_flight_are_out() -> None:
    """One more is at hand, and goes when the first is answered, whatever becomes of the answer."""
    ledger = Ledger(2)
    for number in (0, 2, 4):
        assert ledger.wants
        ledger.add(work(number, 2, {}))
    assert not ledger.wants
    assert send(ledger) == [[0, 1], [2, 3]]
    assert send(ledger) == []
    assert ledger.head is not None
    assert ledger.head.answer is not None
    ledger.head.answer.cancel()
    assert send(ledger) == [[4, 5]]
    assert send(ledger) == []
    ledger.end()
    assert ledger.wants


async def test_what_was_in_hand_goes_again_window_by_window_and_alone() -> None:
    ledger = Ledger(2)
    ledger.add(work(0, 3, {}))
    ledger.add(work(3, 2, {}))
    send(ledger)
    assert ledger.blame(split) is None
    assert len(ledger) == 4
    for number in range(3):
        assert not ledger.wants
        assert send(ledger) == [[number]]
        assert send(ledger) == []
        ledger.end()
    assert send(ledger) == [[3, 4]], "what was behind it goes as it was"


async def test_the_second_failure_gives_one_window_up() -> None:
    ledger = Ledger(2)
    ledger.add(work(0, 2, {}))
    send(ledger)
    assert ledger.blame(split) is None
    send(ledger)
    given_up = ledger.blame(split)
    assert given_up is not None
    assert [window.number for window in given_up.windows] == [0]
    assert ledger.end() is given_up
    assert send(ledger) == [[1]]


async def test_a_failure_before_anything_was_sent_blames_nothing() -> None:
    ledger = Ledger(2)
    assert ledger.blame(split) is None
    ledger.add(work(0, 2, {}))
    assert ledger.blame(split) is None
    assert send(ledger) == [[0, 1]]
