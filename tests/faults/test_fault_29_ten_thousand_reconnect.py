"""Fault 29: ten thousand gateways lose their server at once, and do not come back at once.

Their waits by the arithmetic of the forwarder and of the fleet's stream, on a simulated clock; what
a server asks for by its own arithmetic, in the form in which it travels.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from forebay.forwarding import retry
from forebay.management.link import BACKOFF
from forebay.settings import UplinkSettings
from forebay.uplinks.grpc.refusals import asked_wait_s
from forebay_fleet.identity.answering import PUSHBACK
from forebay_fleet.returning import RETURNS_PER_S, Returns

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.settings import BackoffSettings

GATEWAYS = 10_000
DATA = UplinkSettings(kind="grpc").backoff
LINES = pytest.mark.parametrize("backoff", [DATA, BACKOFF], ids=["data", "fleet"])
"""The waits of a session of data, and of the stream to the fleet server."""


def attempts(
    ends: Callable[[int, float], tuple[bool, float | None]], seed: int, backoff: BackoffSettings
) -> tuple[Counter[int], dict[int, float]]:
    """Give the attempts in each second after the loss, and when each gateway was taken again.

    `ends(gateway, now_s)` says whether it is taken, and for which wait it is asked if not.
    """
    rng = random.Random(seed)
    line: list[tuple[float, int, int]] = []
    for gateway in range(GATEWAYS):
        _, asked_s = ends(gateway, 0.0)
        heapq.heappush(line, (retry.wait_s(1, backoff, rng.random(), asked_s), gateway, 1))
    seconds: Counter[int] = Counter()
    taken: dict[int, float] = {}
    while line:
        now_s, gateway, failures = heapq.heappop(line)
        seconds[int(now_s)] += 1
        good, asked_s = ends(gateway, now_s)
        if good:
            taken[gateway] = now_s
            continue
        wait_s = retry.wait_s(failures + 1, backoff, rng.random(), asked_s)
        heapq.heappush(line, (now_s + wait_s, gateway, failures + 1))
    return seconds, taken


@LINES
def test_after_an_outage_they_come_evenly(backoff: BackoffSettings) -> None:
    """The server is dead for many minutes: nobody is told anything, chance alone spreads them."""
    dead_s = 10 * backoff.most
    seconds, taken = attempts(lambda _, now_s: (now_s >= dead_s, None), 1, backoff)
    mean = GATEWAYS / (0.75 * backoff.most)
    late = {second: count for second, count in seconds.items() if dead_s / 2 <= second < dead_s}
    assert max(late.values()) < 1.5 * mean
    assert min(late.values()) > 0.5 * mean
    assert len(taken) == GATEWAYS
    assert max(taken.values()) <= dead_s + backoff.most
    returns = Counter(int(now_s) for now_s in taken.values())
    assert max(returns.values()) < 1.5 * mean


@LINES
def test_an_orderly_stop_tells_each_its_time(backoff: BackoffSettings) -> None:
    """A server that is replaced within a second: without being told they would come in 0.2 s."""
    there = GATEWAYS

    def left() -> int:
        nonlocal there
        there -= 1  # it has ended when it is told, and so have those before it
        return there

    returns = Returns(left, random.Random(2).random)

    def ends(_: int, now_s: float) -> tuple[bool, float | None]:
        if now_s > 0:
            return True, None
        wait_ms = round(returns.wait_s() * 1000)
        return False, asked_wait_s(((PUSHBACK, str(wait_ms)),))

    seconds, taken = attempts(ends, 3, backoff)
    assert len(taken) == GATEWAYS
    assert max(seconds.values()) < 1.5 * RETURNS_PER_S
    assert max(taken.values()) < GATEWAYS / RETURNS_PER_S + backoff.first + 1


@LINES
def test_nobody_comes_before_the_time_asked_for(backoff: BackoffSettings) -> None:
    """A server that takes 500 a second, and asks the others for 20 s."""
    told: dict[int, float] = {}
    given: Counter[int] = Counter()

    def ends(gateway: int, now_s: float) -> tuple[bool, float | None]:
        assert now_s >= told.get(gateway, 0.0)
        if now_s and given[int(now_s)] < 500:
            given[int(now_s)] += 1
            return True, None
        told[gateway] = now_s + 20.0
        return False, asked_wait_s(((PUSHBACK, "20000"),))

    _, taken = attempts(ends, 4, backoff)
    assert len(taken) == GATEWAYS
    assert max(taken.values()) < 300.0 + backoff.most
