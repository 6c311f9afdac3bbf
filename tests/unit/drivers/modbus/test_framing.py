"""RTU and ASCII frames: found among other bytes, and never taken where a bit is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU

from forebay.drivers.modbus.codec import compile_request
from forebay.drivers.modbus.framing import Ascii, Framing, Rtu, crc, lrc
from forebay.drivers.modbus.identity import ask_identity

FRAMINGS = [Rtu(), Ascii()]
READ = compile_request(17, "holding", 107, 3, 0)
ANSWER = bytes.fromhex("11 03 06 022b 0000 0064")
COILS = compile_request(17, "coil", 0, 19, 0)
framings = pytest.mark.parametrize("framing", FRAMINGS, ids=["rtu", "ascii"])


def test_frames_of_the_standard() -> None:
    message = READ.body[4:]
    assert Rtu().wrap(message) == bytes.fromhex("11 03 006b 0003 7687")
    assert Ascii().wrap(message) == b":1103006B00037E\r\n"


@given(st.binary(min_size=2, max_size=253))
def test_checksums_are_those_of_another_implementation(message: bytes) -> None:
    assert crc(message).to_bytes(2, "little") == FramerRTU.compute_CRC(message).to_bytes(2, "big")
    assert lrc(message) == FramerAscii.compute_LRC(message)


@framings
@given(data=st.data())
def test_an_answer_is_found_however_it_comes(framing: Framing, data: st.DataObject) -> None:
    noise = data.draw(st.binary(max_size=20))
    frame = noise + framing.wrap(ANSWER)
    assert len(framing.wrap(ANSWER)) == framing.wire_bytes(len(ANSWER))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(frame) - 1), max_size=8)))
    buffer, skipped, found = bytearray(), 0, None
    for begin, end in zip([0, *cuts], [*cuts, len(frame)], strict=True):
        assert found is None
        buffer += frame[begin:end]
        found, more = framing.take(buffer, [COILS, READ], final=False)
        skipped += more
    if found is None:  # noise that might have begun an answer
        found, more = framing.take(buffer, [COILS, READ], final=True)
        skipped += more
    assert found is not None
    assert found == (ANSWER, 1)
    assert skipped == len(noise)
    assert not buffer


@framings
@given(data=st.data())
def test_an_answer_with_wrong_bits_is_none(framing: Framing, data: st.DataObject) -> None:
    frame = bytearray(framing.wrap(ANSWER))
    place = data.draw(st.integers(0, len(frame) - 1))
    frame[place] ^= data.draw(st.integers(1, 255))
    if frame.upper() == framing.wrap(ANSWER):
        return  # hexadecimal digits in lower case mean the same
    buffer = bytearray(frame)
    assert framing.take(buffer, [READ], final=True) == (None, len(frame))
    assert not buffer


@framings
@pytest.mark.parametrize(
    "message",
    [
        "12 03 06 022b 0000 0064",
        "11 04 06 022b 0000 0064",
        "11 03 04 022b 0000",
        "11 03 08 022b 0000 0064 0000",
        "11 84 02",
        "12 83 02",
    ],
)
def test_a_right_frame_that_answers_nothing_is_passed_over(framing: Framing, message: str) -> None:
    other = framing.wrap(bytes.fromhex(message))
    buffer = bytearray(other + framing.wrap(ANSWER))
    found, skipped = framing.take(buffer, [READ], final=True)
    assert found is not None
    assert found.message == ANSWER
    assert skipped == len(other)


@framings
def test_an_exception_answers_its_request(framing: Framing) -> None:
    refusal = bytes.fromhex("11 83 02")
    found, _ = framing.take(bytearray(framing.wrap(refusal)), [COILS, READ], final=False)
    assert found == (refusal, 1)


@framings
def test_an_answer_may_tell_its_own_length(framing: Framing) -> None:
    message = bytes.fromhex("11 2b 0e 01 01 00 00 02 00 03 616263 01 02 3132")
    whole = framing.wrap(message)
    request = ask_identity(17, 1, 0)
    for cut in range(1, len(whole)):
        buffer = bytearray(whole[:cut])
        assert framing.take(buffer, [request], final=False)[0] is None
        assert buffer == whole[:cut]
    assert framing.take(bytearray(whole), [request], final=False) == ((message, 0), 0)


@framings
@given(st.binary(max_size=600))
def test_what_is_no_frame_is_all_passed_over(framing: Framing, noise: bytes) -> None:
    buffer = bytearray(noise)
    found, skipped = framing.take(buffer, [READ, COILS], final=True)
    assert found is None
    assert skipped == len(noise)
    assert not buffer
