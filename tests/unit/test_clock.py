"""The machine's clocks: readings belong together, and waiting is monotonic."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from forebay.clock import BELIEVE_AFTER_S, AgeClock, Reading, SystemClock
from forebay.testing.clock import FakeClock

YEAR_S = 365.25 * 86_400


def test_a_reading_lies_between_two_looks_at_each_clock() -> None:
    clock = SystemClock()
    before = clock.now_ns(), clock.boottime_ns()
    reading = clock.read()
    after = clock.now_ns(), clock.boottime_ns()
    assert before[0] <= reading.wall_ns <= after[0]
    assert before[1] <= reading.boottime_ns <= after[1]
    assert reading.offset_ns == reading.wall_ns - reading.boottime_ns


def test_the_offset_is_steady_from_many_threads() -> None:
    clock = SystemClock()
    with ThreadPoolExecutor(8) as threads:
        offsets = [
            r.offset_ns for r in threads.map(lambda _: clock.read(), range(4000), chunksize=50)
        ]
    assert max(offsets) - min(offsets) < 5_000_000


def test_the_kernel_says_whether_the_clock_is_disciplined() -> None:
    """Against the kernel's own words, read in another way: struct ntptimeval (ntp_gettime(3))."""

    class NtpTime(ctypes.Structure):
        maxerror: int
        _fields_ = (
            ("seconds", ctypes.c_long),
            ("micros", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("rest", ctypes.c_ubyte * 128),
        )

    found = NtpTime()
    state = ctypes.CDLL(None).ntp_gettime(ctypes.byref(found))
    reading = SystemClock().read()
    assert reading.synced is (0 <= state < 5)
    if reading.synced:
        assert abs(reading.error_ns - found.maxerror * 1000) <= 2_000_000
    else:
        assert reading.error_ns == 0


@pytest.mark.parametrize(
    ("state", "maxerror_us", "expected"),
    [
        (0, 2500, (True, 2_500_000)),
        (1, 7, (True, 7_000)),
        (5, 16_000_000, (False, 0)),
        (-1, 0, (False, 0)),
    ],
)
def test_states_of_the_kernel(
    state: int, maxerror_us: int, expected: tuple[bool, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        @staticmethod
        def adjtimex(timex: object) -> int:
            asked = timex._obj  # type: ignore[attr-defined]  # noqa: SLF001 - what byref refers to
            assert asked.modes == 0, "a reading must change nothing"
            asked.maxerror = maxerror_us
            return state

    clock = SystemClock()
    monkeypatch.setattr(clock, "_libc", Libc())
    reading = clock.read()
    assert (reading.synced, reading.error_ns) == expected


def test_a_thread_that_was_held_up_between_the_clocks_looks_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, held = SystemClock(), [0.03, 0.0]

    def slow_ns() -> int:
        now_ns = time.time_ns()
        if held:
            time.sleep(held.pop(0))
        return now_ns

    steady = clock.read().offset_ns
    monkeypatch.setattr(clock, "now_ns", slow_ns)
    assert abs(clock.read().offset_ns - steady) < 5_000_000
    assert not held


async def test_a_fake_clock_parts_its_clocks_as_machines_do() -> None:
    clock = FakeClock(wall_ns=5_000)
    assert clock.read() == Reading(5_000, 0, synced=True, error_ns=1_000_000)
    clock.step_wall(-1)
    clock.suspend(10)
    clock.synced = False
    await clock.advance(1)
    assert clock.monotonic_s() == 1
    assert clock.read() == Reading(10_000_005_000, 11_000_000_000, synced=False, error_ns=0)


# --- ages -----------------------------------------------------------------------------------------


def test_nothing_is_old_by_a_clock_that_nothing_disciplines() -> None:
    clock, age = FakeClock(wall_ns=0), AgeClock()
    clock.synced = False
    assert age.now_ns(clock.read()) is None
    clock.step_wall(56 * YEAR_S)
    assert age.now_ns(clock.read()) is None
    clock.synced = True
    assert age.now_ns(clock.read()) == clock.now_ns()


@pytest.mark.parametrize("step_s", [3600, 10 * YEAR_S])
async def test_a_step_ahead_is_believed_once_it_has_held_for_a_day(step_s: float) -> None:
    clock, age = FakeClock(), AgeClock()
    age.now_ns(clock.read())
    right_ns = clock.now_ns()
    clock.step_wall(step_s)
    for _ in range(24):
        assert age.now_ns(clock.read()) == right_ns
        await clock.advance(3600)
        right_ns += 3_600_000_000_000
    assert age.now_ns(clock.read()) == clock.now_ns()


@pytest.mark.parametrize("step_s", [-3600, -10 * YEAR_S])
async def test_a_step_back_is_believed_at_once_and_its_mending_after_a_day(step_s: float) -> None:
    clock, age = FakeClock(), AgeClock()
    age.now_ns(clock.read())
    clock.step_wall(step_s)
    assert age.now_ns(clock.read()) == clock.now_ns()
    clock.step_wall(-step_s)
    believed_ns = age.now_ns(clock.read())
    assert believed_ns is not None
    assert believed_ns < clock.now_ns()
    await clock.advance(BELIEVE_AFTER_S)
    assert age.now_ns(clock.read()) == clock.now_ns()


async def test_a_day_counts_only_while_the_clock_is_disciplined_and_keeps_its_time() -> None:
    clock, age = FakeClock(), AgeClock()
    age.now_ns(clock.read())
    right_ns = clock.now_ns()
    clock.step_wall(YEAR_S)
    age.now_ns(clock.read())
    await clock.advance(BELIEVE_AFTER_S - 1)
    clock.synced = False
    assert age.now_ns(clock.read()) is None
    clock.synced = True
    await clock.advance(1)
    assert age.now_ns(clock.read()) == right_ns + round(BELIEVE_AFTER_S * 1e9)
    clock.step_wall(YEAR_S)
    await clock.advance(BELIEVE_AFTER_S - 1)
    assert age.now_ns(clock.read()) == right_ns + round((2 * BELIEVE_AFTER_S - 1) * 1e9)
