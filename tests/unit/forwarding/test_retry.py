"""The curve of waits: it doubles, it is capped, it is spread, and it begins anew after success."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.forwarding import retry
from forebay.settings import BackoffSettings

BACKOFF = BackoffSettings(first=0.2, most=15.0)
draws = st.floats(0, 1, exclude_max=True)


def test_ceilings_double_up_to_the_most() -> None:
    ceilings = [BACKOFF.wait_s(n, 1.0) for n in range(1, 10)]
    assert ceilings == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15.0, 15.0]


@given(st.integers(1, 10**9), draws)
def test_waits_lie_in_the_upper_half(failures: int, draw: float) -> None:
    ceiling = BACKOFF.wait_s(failures, 1.0)
    assert ceiling / 2 <= BACKOFF.wait_s(failures, draw) <= ceiling <= BACKOFF.most


@given(st.integers(1, 50), draws, st.floats(allow_nan=False))
def test_a_wait_asked_for_is_kept_within_reason(failures: int, draw: float, asked: float) -> None:
    wait = retry.wait_s(failures, BACKOFF, draw, asked)
    own = BACKOFF.wait_s(failures, draw)
    assert wait >= min(asked, retry.MAX_ASKED_WAIT_S)
    assert own <= wait <= retry.MAX_ASKED_WAIT_S + own


def test_nothing_asked_is_the_own_wait() -> None:
    assert retry.wait_s(3, BACKOFF, 0.5, None) == BACKOFF.wait_s(3, 0.5)


def test_failures_count_until_a_session_was_good() -> None:
    def after(failures: int, *, progressed: bool, lasted_s: float) -> int:
        return retry.failures_after(
            failures, progressed=progressed, lasted_s=lasted_s, backoff=BACKOFF
        )

    assert after(0, progressed=False, lasted_s=0.0) == 1
    assert after(4, progressed=False, lasted_s=15.0) == 5
    assert after(4, progressed=False, lasted_s=15.1) == 1
    assert after(4, progressed=True, lasted_s=0.0) == 1
