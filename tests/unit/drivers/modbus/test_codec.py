"""Frames against the examples printed in the standard (MODBUS Application Protocol V1.1b3)."""

from __future__ import annotations

import pytest

from forebay.drivers.modbus.codec import EXCEPTIONS, FEWER, compile_request, data_bytes, meaning
from forebay.model import Quality, is_bad


@pytest.mark.parametrize(
    ("area", "start", "count", "pdu", "answer"),
    [
        ("coil", 19, 19, "01 00 13 00 13", "01 03"),  # 6.1
        ("discrete", 196, 22, "02 00 c4 00 16", "02 03"),  # 6.2
        ("holding", 107, 3, "03 00 6b 00 03", "03 06"),  # 6.3
        ("input", 8, 1, "04 00 08 00 01", "04 02"),  # 6.4
    ],
)
def test_requests_are_those_of_the_standard(
    area: str, start: int, count: int, pdu: str, answer: str
) -> None:
    request = compile_request(17, area, start, count, 40)
    assert request.body == bytes.fromhex("00 00 00 06 11") + bytes.fromhex(pdu)
    function, size = bytes.fromhex(answer)
    assert request.head == bytes((0, 0, 0, size + 3, 17, function, size))
    assert request.refusal == bytes((0, 0, 0, 3, 17, function | 0x80))
    assert (request.size, request.offset) == (size, 40)
    assert data_bytes(area, count) == size


def test_every_exception_gives_a_bad_quality() -> None:
    assert set(EXCEPTIONS) == {1, 2, 3, 4, 5, 6, 8, 10, 11, FEWER}  # all that section 7 lists
    for code in range(256):
        assert is_bad(meaning(code).status)
        assert meaning(code).permanent == (code in {1, 2, 3})
    assert meaning(2).status == Quality.BAD_NODE_ID_UNKNOWN
    assert meaning(11).status == Quality.BAD_NO_COMMUNICATION
