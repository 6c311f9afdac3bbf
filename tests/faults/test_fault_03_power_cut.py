"""Fault 3: modelled power cuts at random moments, with lost and torn writes.

Nothing durable is lost, and no position ever names two payloads. `python -m crash.run` runs as many
as one likes.
"""

from __future__ import annotations

import os

import pytest

from support.crash import simulate

FIRST = int(os.environ.get("CRASH_FIRST", "100000"))
GROUPS, PER_GROUP = 10, 30


@pytest.mark.parametrize("group", range(GROUPS))
def test_fault_03_power_cuts(group: int) -> None:
    first = FIRST + group * PER_GROUP
    for seed in range(first, first + PER_GROUP):
        try:
            simulate(seed)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")
