"""When certificates are renewed, and how soon after an attempt that failed."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from forebay.management.renewal import BACKOFF, renew_at_s

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=30)


@given(st.floats(0, 1, exclude_max=True))
def test_a_certificate_is_renewed_in_the_middle_of_its_time(draw: float) -> None:
    at_s = renew_at_s(BEGIN, BEGIN + MONTH, draw) - BEGIN.timestamp()
    assert 15 * 86_400 <= at_s <= 18 * 86_400


def test_boxes_that_were_enrolled_together_do_not_come_together() -> None:
    rng = random.Random(1)
    hours = Counter(
        int(renew_at_s(BEGIN, BEGIN + MONTH, rng.random()) // 3600) for _ in range(10_000)
    )
    assert max(hours.values()) < 3 * 10_000 / len(hours)
    assert len(hours) > 70


def test_attempts_that_fail_come_less_and_less_often() -> None:
    rng = random.Random(2)
    waits = [BACKOFF.wait_s(failures, rng.random()) for failures in range(1, 15)]
    assert all(low < high for low, high in zip(waits[:7], waits[2:9], strict=True))
    assert max(waits) <= BACKOFF.most
