"""How much may come: bursts are delayed, floods are refused."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forebay.pluginhost.quota import BURST_S, Quota
from support.fuzz import examples


def test_a_full_bucket_goes_at_once_and_the_next_waits() -> None:
    quota = Quota(100, 0.0)
    assert quota.most == 100 * BURST_S
    assert quota.wait_s(1000, 0.0) == 0
    quota.take(1000, 0.0)
    assert quota.wait_s(50, 0.0) == 0.5
    assert quota.wait_s(50, 0.5) == 0
    assert quota.wait_s(1e9, 0.5) == (1000 - 50) / 100, "what is larger than all waits for all"


@examples(100)
@given(
    st.floats(1, 1e6),
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 20)), max_size=30),
)
def test_no_more_than_the_rate_and_one_burst_gets_through(
    rate: float, asked: list[tuple[float, float]]
) -> None:
    quota, now_s, taken = Quota(rate, 0.0), 0.0, 0.0
    for share, later_s in asked:
        amount = min(quota.most, share * rate)
        now_s += later_s
        now_s += quota.wait_s(amount, now_s)
        quota.take(amount, now_s)
        taken += amount
        assert taken <= (now_s + BURST_S) * rate * (1 + 1e-9)
