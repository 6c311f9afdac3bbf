"""The epochs of a journal: a new one for each run, and whenever one must not go on (ADR 004).

Owns how an epoch is made. Must not know who asks or what stands in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.model import EPOCH_RANDOM_BITS, epoch_number

if TYPE_CHECKING:
    import random

_NUMBER_MAX = (1 << 31) - 1


class Epochs:
    """Gives epochs, each younger than all before it. One thread at a time."""

    def __init__(self, rng: random.Random, newest: int) -> None:
        """Begin behind `newest`, the youngest epoch that anything remembers; 0 for none."""
        self._rng, self._number = rng, epoch_number(newest)

    def next(self, above: int = 0) -> int:
        """Give an epoch that no run has had, even one of a copy of this directory.

        It is younger than `above` too, an epoch that somebody else remembers.
        """
        self._number = min(max(self._number, epoch_number(above)) + 1, _NUMBER_MAX)
        return self._number << EPOCH_RANDOM_BITS | self._rng.getrandbits(EPOCH_RANDOM_BITS)
