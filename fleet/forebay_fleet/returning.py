"""When gateways come back that a stop sends away together.

Pure, but for the count of a stop and its chance. Must not know gRPC, nor what streams are for.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RETURNS_PER_S = 200
"""How many gateways may come back in a second, of those that a stop sent away: a handshake costs
about a millisecond of a core."""


def return_s(streams: int, draw: float) -> float:
    """Give when one of `streams` that end together is to come back, s; `draw` is in [0, 1).

    Each is told another time, so that they come one after the other to whoever serves next.
    """
    return draw * streams / RETURNS_PER_S


class Returns:
    """Of one stop. Those who go first are gone when the last are told: the count stays."""

    def __init__(
        self, present: Callable[[], int], draw: Callable[[], float] = random.random
    ) -> None:
        """`present` says how many are there still."""
        self._present, self._draw = present, draw
        self._most = 0

    def wait_s(self) -> float:
        """Give when the next one that is sent away is to come back, s."""
        self._most = max(self._most, self._present())
        return return_s(self._most, self._draw())
