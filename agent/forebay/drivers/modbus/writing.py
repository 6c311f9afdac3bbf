"""One value into a device: which request says it, and what its outcome is.

Owns what is in doubt and what is refused. Must not know who may write, or when.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forebay.drivers.modbus.codec import compile_request, meaning
from forebay.drivers.modbus.commands import (
    mask_register,
    write_and_read,
    write_coil,
    write_registers,
)
from forebay.drivers.modbus.encode import encode, mask
from forebay.drivers.modbus.wire import too_late
from forebay.errors import DeviceError, DeviceRefused, WriteInDoubt
from forebay.model import Quality

if TYPE_CHECKING:
    from forebay.drivers.modbus.codec import Request
    from forebay.drivers.modbus.commands import Command
    from forebay.drivers.modbus.config import ModbusSettings
    from forebay.drivers.modbus.tag import ModbusTag
    from forebay.drivers.modbus.unit import Unit
    from forebay.interfaces import Value

_CLEAR_NO = frozenset({1, 2, 3, 6, 10})
"""The exceptions by which a device, or a gateway before it, says that it did nothing (MB-APP 7).

4 comes in the midst of doing it, 5 before it is done, 8 from reading what is there, and 11 of a
unit that may have heard all. What others mean nobody knows.
"""
_ILLEGAL_FUNCTION = 1
_MASK_FUNCTION = 22
_DOUBT_HINT = "look at the device: the value may have been written"


class Writer:
    """Writes tags of one device; see `interfaces.WritableDriver`."""

    def __init__(self, unit: Unit, settings: ModbusSettings) -> None:
        self._unit, self._settings = unit, settings

    async def write(self, tag: ModbusTag, value: Value, end_s: float | None = None) -> None:
        """Send the one request that writes `value`, until `end_s` (of the event loop's clock).

        Raises DeviceRefused or WriteInDoubt.
        """
        place = self._settings.place(tag)
        if place.area not in {"coil", "holding"}:
            raise DeviceRefused(
                f"{tag.address} can only be read: it is of the {place.area} inputs",
                hint="write a coil or a holding register",
                status=Quality.BAD_NOT_WRITABLE,
            )
        try:
            async with asyncio.timeout_at(end_s) as limit:
                command = await self._command(tag, value)
                check = compile_request(self._unit.number, place.area, place.start, 1, 0)
                await self._send(command, check, limit)
        except TimeoutError as error:  # the limit is lifted when it is sent
            raise too_late() from error
        except ValueError as error:
            raise DeviceRefused(
                f"{value!r} cannot be written to {tag.address}: {error}",
                hint="write a value that the tag's type can hold",
                status=Quality.BAD_OUT_OF_RANGE,
            ) from error

    async def _command(self, tag: ModbusTag, value: Value) -> Command:
        """Give the request; ValueError if the tag cannot hold the value."""
        settings, number = self._settings, self._unit.number
        place, order = settings.place(tag), tag.order or settings.order
        multiple = settings.write_multiple_only
        if place.bit is not None:
            if settings.bit_write == "mask":
                return mask_register(number, place.start, *mask(tag, order, value))
            change = mask(tag, order, value)
            data = change.apply(await self._register(place.start)).to_bytes(2, "big")
        else:
            written = encode(tag, order, value)
            if isinstance(written, bool):
                return write_coil(number, place.start, on=written, multiple=multiple)
            data = written
        if settings.write_with_read:
            return write_and_read(number, place.start, data)
        return write_registers(number, place.start, data, multiple=multiple)

    async def _register(self, address: int) -> int:
        """Read one holding register. Raises DeviceRefused: nothing was written yet."""
        image = bytearray(2)
        request = compile_request(self._unit.number, "holding", address, 1, 0)
        job = self._unit.job((request,), image)
        job.steady = True  # what it reads must still hold when it is written
        try:
            await self._unit.run(job)
        except DeviceError as error:
            raise _not_sent(error) from error
        if job.refused:
            raise _refused(job.refused[0][1], request.head[5])
        return int.from_bytes(image, "big")

    async def _send(self, command: Command, check: Request, limit: asyncio.Timeout) -> None:
        """Send it as long as `limit` lets; `check` is a read that shows whether the line echoes."""
        request = command.request
        job = self._unit.job((request,), bytearray(request.size))
        job.steady, job.check, job.limit = True, check, limit
        try:
            await self._unit.run(job)
        except DeviceError as error:
            if not job.sent:
                raise _not_sent(error) from error
            if job.refused and job.refused[0][1] in _CLEAR_NO:
                raise _refused(job.refused[0][1], request.head[5]) from error
            raise WriteInDoubt(
                f"it was sent, and then: {error}", hint=_DOUBT_HINT, status=error.status
            ) from error
        if job.refused:
            code = job.refused[0][1]
            if code not in _CLEAR_NO:
                means = meaning(code)
                raise WriteInDoubt(
                    f"the device may have done it, and answered exception {code}, {means.text}",
                    hint=_DOUBT_HINT,
                    status=means.status,
                )
            raise _refused(code, request.head[5])
        if command.echo is not None and job.image != command.echo:
            raise WriteInDoubt(
                f"the device confirmed something else: {job.image.hex(' ')} instead of "
                f"{command.echo.hex(' ')}",
                hint=_DOUBT_HINT,
                status=Quality.BAD_COMMUNICATION_ERROR,
            )


def _not_sent(error: DeviceError) -> DeviceRefused:
    return DeviceRefused(f"nothing was written: {error}", hint=error.hint, status=error.status)


def _refused(code: int, function: int) -> DeviceRefused:
    means = meaning(code)
    hint = "check the address and the value against the device's manual"
    if code == _ILLEGAL_FUNCTION:
        hint = "the device cannot do this; see write_multiple_only and write_with_read"
        if function == _MASK_FUNCTION:
            hint = (
                'the device cannot write single bits; bit_write = "read-modify-write" writes the '
                "whole register, if nothing else changes it"
            )
    return DeviceRefused(
        f"the device refused it: exception {code}, {means.text}, to function {function}",
        hint=hint,
        status=means.status,
    )
