"""The shape of one figure, and what every benchmark does with samples.

Owns no measurement of its own.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict

from forebay.clock import SystemClock
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.net import SystemNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CACHE = Path(__file__).resolve().parent.parent / ".cache"


class Figure(TypedDict):
    """One measured thing.

    `ratio` is value / value of `against`; `spread` is (max - min) / median of the samples.
    """

    id: str
    value: float
    unit: str
    against: NotRequired[str]
    ratio: NotRequired[float]
    spread: NotRequired[float]


def figure(
    name: str,
    samples: Sequence[float],
    unit: str,
    *,
    against: str = "",
    others: Sequence[float] = (),
) -> Figure:
    """Give the median of `samples`; the ratio is the median of the pairwise ratios to `others`."""
    middle = statistics.median(samples)
    out = Figure(id=name, value=middle, unit=unit)
    if len(samples) > 1 and middle:
        out["spread"] = (max(samples) - min(samples)) / middle
    if against:
        out["against"] = against
        out["ratio"] = statistics.median(a / b for a, b in zip(samples, others, strict=True))
    return out


def cpu_s_each(work: Callable[[], object], times: int) -> float:
    """Give the CPU seconds of one call of `work`, averaged over `times`."""
    work()
    begin = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begin) / times


def scratch() -> tempfile.TemporaryDirectory[str]:
    """Give a directory on the checkout's disk: that of the system may be memory.

    It lies in .cache, where a run that was killed leaves it out of everybody's way.
    """
    CACHE.mkdir(exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="bench-", dir=CACHE)


def seams() -> Seams:
    """Give the real world, with a log that stays silent."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return Seams(SystemClock(), SystemDisk(), SystemNetwork(), random.Random(1), Events())
