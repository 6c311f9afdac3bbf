"""A serial port as an asyncio transport.

Owns the port's file descriptor. Must not know Modbus. Linux and other systems with termios.
"""

from __future__ import annotations

import asyncio
import os
import termios
from typing import TYPE_CHECKING

import serial

if TYPE_CHECKING:
    from forebay.drivers.modbus.link import Link

_PARITY = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
_CHUNK_BYTES = 4096
_MOST_UNSENT_BYTES = 4096
"""More than any request; one is under way at a time."""


class SerialTransport(asyncio.Transport):
    """Gives the protocol what comes; sends what it is given."""

    def __init__(self, port: serial.Serial, protocol: asyncio.Protocol) -> None:
        super().__init__({"serial": port})
        self._loop = asyncio.get_running_loop()
        self._port, self._protocol = port, protocol
        self._fd: int = port.fileno()
        self._unsent = bytearray()
        self._closing = False
        protocol.connection_made(self)
        self._loop.add_reader(self._fd, self._read)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; what the port does not take at once is sent when it does."""
        if self._closing:
            return
        self._unsent += data
        if len(self._unsent) > _MOST_UNSENT_BYTES:
            self._end(OSError("the serial port takes nothing"))
        else:
            self._flush()

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closing

    def close(self) -> None:
        """Close; what is not sent is lost."""
        self.abort()

    def abort(self) -> None:
        """Close; what is not sent is lost."""
        self._end(None)

    def _flush(self) -> None:
        try:
            sent = os.write(self._fd, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._end(error)
            return
        del self._unsent[:sent]
        if self._unsent:
            self._loop.add_writer(self._fd, self._flush)
        else:
            self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._end(OSError("the serial port is gone"))

    def _end(self, error: OSError | None) -> None:
        """Close the port once, and tell the protocol."""
        if self._closing:
            return
        self._closing = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._port.close()
        self._loop.call_soon(self._protocol.connection_lost, error)


def open_port(link: Link, protocol: asyncio.Protocol) -> None:
    """Open the serial port of `link`, for this process alone, and connect `protocol` to it.

    Raises OSError.
    """
    try:
        port = serial.Serial(
            link.serial_port,
            link.baudrate,
            link.data_bits,
            _PARITY[link.parity],
            link.stop_bits,
            timeout=0,
            exclusive=True,
        )
    except (serial.SerialException, termios.error, ValueError) as error:
        raise OSError(str(error)) from error
    SerialTransport(port, protocol)
