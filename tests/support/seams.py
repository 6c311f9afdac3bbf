"""The real seams, with a log that stays silent."""

from __future__ import annotations

import random

import structlog

from forebay.clock import SystemClock
from forebay.events import Events
from forebay.files import SystemDisk
from forebay.interfaces import Seams
from forebay.net import SystemNetwork


def system_seams() -> Seams:
    """Give the machine's clock, disk and network, seeded randomness, and events that only count."""
    log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))
    return Seams(SystemClock(), SystemDisk(), SystemNetwork(), random.Random(1), Events(log))
