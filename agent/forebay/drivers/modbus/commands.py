"""Requests that change a device.

Pure. Owns their bytes and the echo that a good answer is. Must not know tags, values or
connections. Sections are those of the MODBUS Application Protocol V1.1b3.
"""

from __future__ import annotations

from typing import NamedTuple

from forebay.drivers.modbus.codec import Request

_ERROR = 0x80


class Command(NamedTuple):
    """A request, and what its image holds after a good answer: None if that tells nothing."""

    request: Request
    echo: bytes | None


def _command(unit: int, pdu: bytes, echo: bytes) -> Command:
    """Give the command whose good answer is `echo`, function included."""
    return Command(
        Request(
            body=b"\x00\x00" + (len(pdu) + 1).to_bytes(2, "big") + bytes((unit,)) + pdu,
            head=b"\x00\x00" + (len(echo) + 1).to_bytes(2, "big") + bytes((unit,)) + echo[:2],
            refusal=b"\x00\x00\x00\x03" + bytes((unit, pdu[0] | _ERROR)),
            size=len(echo) - 2,
            offset=0,
        ),
        echo[2:],
    )


def _two(first: int, second: int) -> bytes:
    return first.to_bytes(2, "big") + second.to_bytes(2, "big")


def write_coil(unit: int, address: int, *, on: bool, multiple: bool) -> Command:
    """Write one coil by function 5, or with `multiple` by 15 (6.5, 6.11)."""
    if multiple:
        head = b"\x0f" + _two(address, 1)
        return _command(unit, head + bytes((1, on)), head)
    pdu = b"\x05" + _two(address, 0xFF00 if on else 0)
    return _command(unit, pdu, pdu)


def write_registers(unit: int, address: int, data: bytes, *, multiple: bool) -> Command:
    """Write registers by function 16; a single one by 6 unless `multiple` (6.6, 6.12).

    `data` has two bytes for each, at most 246.
    """
    if len(data) == 2 and not multiple:
        pdu = b"\x06" + address.to_bytes(2, "big") + data
        return _command(unit, pdu, pdu)
    head = b"\x10" + _two(address, len(data) // 2)
    return _command(unit, head + bytes((len(data),)) + data, head)


def write_and_read(unit: int, address: int, data: bytes) -> Command:
    """Write registers, at most 121, and read them in one request, by function 23 (6.17)."""
    place = _two(address, len(data) // 2)
    pdu = b"\x17" + place + place + bytes((len(data),)) + data
    command = _command(unit, pdu, bytes((0x17, len(data))) + data)
    return command._replace(echo=None)  # the device may hold something near what it was given


def mask_register(unit: int, address: int, and_mask: int, or_mask: int) -> Command:
    """Change some bits of a register and keep the others, by function 22 (6.16)."""
    pdu = b"\x16" + address.to_bytes(2, "big") + _two(and_mask, or_mask)
    return _command(unit, pdu, pdu)
