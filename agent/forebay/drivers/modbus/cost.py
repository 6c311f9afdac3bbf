"""What a request costs on the line, and how many unneeded places are cheaper than another request.

Pure. Owns the estimate. Must not know connections, tags or time: whoever measures notes it here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from forebay.interfaces import Cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEASURED_LEAST = 16
"""Requests that must have been measured before anything is said."""
MEASURED_MOST = 512
"""Newest requests that the estimate goes by."""
APART_LEAST = 8
"""How many places long and short requests must differ by to tell what a place costs."""
GUESSED_REGISTER_S = 10e-6
"""What a register is held to cost over a network until that was measured."""
GUESSED_BIT_S = 1e-6
"""The same for a coil or a discrete input."""
HOLE_REGISTERS = 8
"""Most unneeded registers bridged before anything was measured."""
HOLE_BITS = 64
"""The same in bits."""

REQUEST_CHARACTERS, ANSWER_CHARACTERS = 8, 5
"""What a read and its answer take in RTU beside the data: MODBUS over Serial Line V1.02, 2.5.1."""
SILENT_CHARACTERS = 3.5
"""The pause that ends a frame (same section)."""


class Meter:
    """What reads of one area of one unit take.

    `unit_s` is what one place costs if that is known beforehand, as on a serial line; `guessed_s`
    is what it is held to cost until requests of different lengths have told.
    """

    def __init__(self, guessed_s: float, unit_s: float | None = None) -> None:
        """Begin with nothing measured."""
        self._unit_s = guessed_s if unit_s is None else unit_s
        self._given, self._guessed = unit_s is not None, unit_s is None
        self._samples: deque[tuple[int, float]] = deque(maxlen=MEASURED_MOST)
        self._cost: Cost | None = None

    def note(self, count: int, took_s: float) -> None:
        """Note that a request for `count` places was answered `took_s` after it was sent."""
        self._samples.append((count, took_s))
        self._cost = None

    def cost(self) -> Cost | None:
        """Give the estimate, None before enough was measured.

        By medians, so that an answer that came late for another reason counts little.
        """
        if self._cost is None and len(self._samples) >= MEASURED_LEAST:
            self._cost = self._estimate(*np.array(self._samples).T)
        return self._cost

    def _estimate(self, counts: NDArray[np.float64], took_s: NDArray[np.float64]) -> Cost | None:
        slope_s = 0.0 if self._given else _slope(counts, took_s)
        if slope_s:
            self._unit_s, self._guessed = slope_s, False
        unit_s = self._unit_s
        if self._guessed:  # half of the time at least is held to be the request's own
            unit_s = min(unit_s, float(np.median(took_s / counts)) / 2)
        rest_s = float(np.median(took_s - counts * unit_s))
        return Cost(max(rest_s, 0.0), unit_s) if unit_s > 0 else None


def _slope(counts: NDArray[np.float64], took_s: NDArray[np.float64]) -> float:
    """Give what a place costs by requests of different lengths; 0 if they tell nothing.

    Each of the shorter half is held against one of the longer half. Of these slopes the median is
    taken, weighted by how far the two are apart: an answer that came late for another reason counts
    little. Twice what noise may hide is added, so that an unsteady line bridges less.
    """
    order = np.argsort(counts, kind="stable")
    half = len(order) // 2
    short, long = order[:half], order[-half:]
    apart = counts[long] - counts[short]
    if apart.max() < APART_LEAST:
        return 0.0
    differ = apart > 0
    slopes_s, apart = (took_s[long] - took_s[short])[differ] / apart[differ], apart[differ]
    rank = np.argsort(slopes_s)
    behind = np.cumsum(apart[rank])
    slope_s = float(slopes_s[rank[np.searchsorted(behind, behind[-1] / 2)]])
    rests_s = took_s - slope_s * counts
    # The median of absolute rests as a standard deviation, if they are normal; 1.25 for medians.
    deviation_s = 1.4826 * float(np.median(np.abs(rests_s - np.median(rests_s))))
    square = float(np.sum((counts - counts.mean()) ** 2))
    return max(slope_s + 2 * 1.25 * deviation_s / float(np.sqrt(square)), 1e-12)


def cheapest_hole(cost: Cost | None, most: int, unmeasured: int) -> int:
    """Give how many unneeded places are bridged: as many as cost less than another request.

    At most what leaves room for two places in a request of `most`; `unmeasured` without a cost.
    """
    if cost is None:
        return min(unmeasured, max(0, most - 2))
    return max(0, min(most - 2, int(cost.per_request_s / cost.per_unit_s)))


def serial_cost(character_s: float, *, in_ascii: bool, bits: bool) -> Cost:
    """Give what a serial line itself takes: the device's own time is not in it.

    `character_s` is the time of one character. In ASCII each byte is two characters, and the end of
    a frame is told by characters (MODBUS over Serial Line V1.02, 2.5.2).
    """
    per_byte, both = 1, REQUEST_CHARACTERS + ANSWER_CHARACTERS + 2 * SILENT_CHARACTERS
    if in_ascii:  # colon, CR and LF around, and an LRC of one byte instead of a CRC of two
        per_byte, both = 2, 2 * (REQUEST_CHARACTERS - 1) + 2 * (ANSWER_CHARACTERS - 1) + 2 * 3
    per_unit = per_byte / 8 if bits else per_byte * 2
    return Cost(both * character_s, per_unit * character_s)


class Meters:
    """The meters of one unit, by area; they outlive connections.

    `character_s` is the time of one character where the unit is on a serial port of this machine,
    None where only measurements tell what a place costs.
    """

    def __init__(self, character_s: float | None, *, in_ascii: bool = False) -> None:
        """Begin with nothing measured."""
        self._character_s, self._in_ascii = character_s, in_ascii
        self._of: dict[str, Meter] = {}

    def of(self, area: str) -> Meter:
        """Give the meter of `area`."""
        if area not in self._of:
            line, bits = self._line(area), area in {"coil", "discrete"}
            guessed_s = GUESSED_BIT_S if bits else GUESSED_REGISTER_S
            self._of[area] = Meter(guessed_s, None if line is None else line.per_unit_s)
        return self._of[area]

    def cost(self, area: str) -> Cost | None:
        """Give what was measured; before that what the serial line takes, None for a network."""
        return self.of(area).cost() or self._line(area)

    def _line(self, area: str) -> Cost | None:
        if self._character_s is None:
            return None
        bits = area in {"coil", "discrete"}
        return serial_cost(self._character_s, in_ascii=self._in_ascii, bits=bits)
