"""Power cuts and refusals in the middle of every call that the file uplink makes of a disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.fuzz import examples
from support.uplink_files_life import simulate


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
@examples(60)
@given(seed=st.integers(0, 2**32))
def test_everything_is_there_once_after_power_cuts(form: str, seed: int) -> None:
    simulate(seed, form)
