"""Power cuts and refusals in the middle of every call that the file uplink makes of a disk."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.uplink_files_life import simulate


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_everything_is_there_once_after_power_cuts(form: str) -> None:
    @settings(max_examples=60, deadline=None)
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        simulate(seed, form)

    run()
