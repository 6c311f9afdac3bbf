"""Some seconds of fuzzed Modbus frames, and that the judge of them can say no.

`make fuzz-drivers` does this for minutes.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from forebay.clock import SystemClock
from forebay.model import Batch, Quality, Schema, Tag, ValueType
from fuzzing import modbus
from fuzzing.judge import ModbusJudge
from fuzzing.memory import STARTING_BYTES
from fuzzing.report import ways
from fuzzing.wire import Asked, RtuWire, TcpWire, with_crc

SECONDS = 6.0
SCHEMA = Schema(
    "plc", "g", (Tag("word", "holding:8", ValueType.UINT64), Tag("bit", "coil:3", ValueType.BOOL))
)
PLACES = {"plc": (1, [("holding", 8), ("coil", 3)])}


@pytest.mark.parametrize("rtu", [False, True], ids=["tcp", "rtu"])
async def test_no_value_is_invented_and_memory_stays(*, rtu: bool) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")  # noqa: T201 - pytest shows it if this fails
    counted = await modbus.fuzz(seed, SECONDS, print, rtu=rtu)
    assert counted["good"] > 0
    assert counted["bad"] > 0
    assert counted["growth_bytes"] < STARTING_BYTES
    assert len(ways(counted)) > 5, "too few answers to have seen much"


def asked(unit: int = 1, asked_ns: int = 0) -> Asked:
    return Asked(7, unit, 3, 4, 8, asked_ns)


def good(request: Asked) -> bytes:
    return TcpWire().answer(request, bytes(range(16)))


def answered(request: Asked, *pieces: bytes) -> Asked:
    observer = TcpWire({request.number: request})
    for piece in pieces or (good(request),):
        observer.sent(piece, None)
    return request


async def judged(said: list[Asked], value: int, quality: int = 0) -> list[str]:
    """What the judge says of a row whose word has `value`; its bit is bad."""
    clock = SystemClock()
    now, boot = clock.now_ns(), clock.boottime_ns()
    for each in said:
        each.asked_ns += boot - 1_000_000
    judge = ModbusJudge(said, PLACES)
    batch = Batch(
        SCHEMA,
        np.array([now - 5_000_000]),
        np.array([now]),
        (np.array([[False]]), np.array([[value]], np.uint64)),
        np.array([[quality, Quality.BAD]], np.uint32),
        boottime_ns=np.array([boot]),
    )
    await judge.accept(batch)
    return judge.wrong


TRUE = int.from_bytes(bytes(range(8, 16)), "big")


async def test_what_was_said_is_believed() -> None:
    assert await judged([answered(asked())], TRUE) == []


async def test_a_bad_sample_needs_no_word_but_may_have_no_value() -> None:
    assert await judged([], 0, Quality.BAD_TIMEOUT) == []
    assert await judged([], 1, Quality.BAD_TIMEOUT) != []


@pytest.mark.parametrize(
    "said",
    [
        [],
        [asked()],
        [answered(asked(unit=2))],
        [answered(asked(asked_ns=-1_000_000_000))],
        [answered(asked(), b"\0\7\0\0\0\3\1\x83\2")],
        [answered(asked(), good(asked())[:12], bytes(range(3, 16)))],
        [answered(asked(), b"\xff\xff\xff\xff", good(asked()))],
    ],
    ids=["nothing", "no answer", "another unit", "another scan", "refused", "torn", "after noise"],
)
async def test_what_was_not_said_is_not_believed(said: list[Asked]) -> None:
    assert await judged(said, TRUE) != []


def test_an_observer_hears_frames_that_come_in_pieces_together() -> None:
    """Pieces that a server says at once are one `sent`; two frames may come in one."""
    first, second = asked(), Asked(8, 1, 3, 0, 2, 0)
    observer = TcpWire({7: first, 8: second})
    observer.sent(observer.answer(first, bytes(16)) + observer.answer(second, b"abcd"), None)
    assert (first.data, second.data) == (bytes(16), b"abcd")


def test_an_rtu_answer_is_of_what_it_was_made_from_if_its_checksum_is_right() -> None:
    wire, first, second = RtuWire(), asked(), asked()
    frame = wire.answer(first, bytes(range(16)))
    wire.sent(frame[:-1] + bytes((frame[-1] ^ 1,)), first)
    spoilt = first.data
    wire.sent(b"\xff\1" + frame + b"\0", first)
    assert (spoilt, first.data, second.data) == (None, bytes(range(16)), None)


def test_the_checksum_is_that_of_the_standards_example() -> None:
    """Unit 2, function 7: MODBUS over Serial Line V1.02, appendix B, gives 0x1241."""
    assert with_crc(b"\2\7") == b"\2\7\x41\x12"
