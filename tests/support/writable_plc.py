"""A Modbus TCP PLC that takes writes, counts each one on the wire, and may keep its answers.

It builds its frames itself, from the MODBUS Application Protocol V1.1b3: it must not share a
mistake with the driver.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

REGISTERS = 200
_READS = (1, 3)
_WRITE_COIL, _WRITE_REGISTER, _WRITE_COILS, _WRITE_REGISTERS, _MASK = 5, 6, 15, 16, 22


class WritablePlc:
    """`async with WritablePlc() as plc:` listens on `plc.port`.

    `registers` are the holding registers, `coils` the coils. `writes` lists every request that
    changes something, as (function, address, values), when it arrives. While `mute_writes` is set
    they are done and not answered; while `held` is not None, reads are answered only once that is
    set.
    """

    def __init__(self) -> None:
        self.registers = [0] * REGISTERS
        self.coils = [0] * REGISTERS
        self.writes: list[tuple[int, int, tuple[int, ...]]] = []
        self.wrote = asyncio.Event()
        self.reads = 0
        self.mute_writes = False
        self.held: asyncio.Event | None = None
        self.holding = asyncio.Event()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._peers: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        if self.held is not None:
            self.held.set()
        for writer in self._peers.values():
            writer.transport.abort()
        await asyncio.gather(*self._peers)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._peers[task] = writer
        try:
            while True:
                header = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
                answer = await self._answer(pdu)
                if answer:
                    size = (len(answer) + 1).to_bytes(2, "big")
                    writer.write(header[:4] + size + header[6:7] + answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            del self._peers[task]
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, pdu: bytes) -> bytes:
        function, address = pdu[0], int.from_bytes(pdu[1:3], "big")
        if function in _READS:
            if self.held is not None:
                self.holding.set()
                await self.held.wait()
            self.reads += 1
            return self._read(function, address, int.from_bytes(pdu[3:5], "big"))
        if address >= REGISTERS:
            return bytes((function | 0x80, 2))
        echo = self._write(function, address, pdu)
        self.wrote.set()
        return b"" if self.mute_writes else echo

    def _read(self, function: int, address: int, count: int) -> bytes:
        if address + count > REGISTERS:
            return bytes((function | 0x80, 2))
        if function == 1:
            bits = sum(bit << n for n, bit in enumerate(self.coils[address : address + count]))
            data = bits.to_bytes((count + 7) // 8, "little")
        else:
            words = self.registers[address : address + count]
            data = b"".join(word.to_bytes(2, "big") for word in words)
        return bytes((function, len(data))) + data

    def _write(self, function: int, address: int, pdu: bytes) -> bytes:
        """Do what is asked, note it, and give the answer."""
        if function == _WRITE_COIL:
            values: tuple[int, ...] = (int(pdu[3:5] == b"\xff\x00"),)
            self.coils[address] = values[0]
        elif function == _WRITE_REGISTER:
            values = (int.from_bytes(pdu[3:5], "big"),)
            self.registers[address] = values[0]
        elif function == _WRITE_COILS:
            count = int.from_bytes(pdu[3:5], "big")
            values = tuple((pdu[6 + n // 8] >> n % 8) & 1 for n in range(count))
            self.coils[address : address + count] = values
        elif function == _WRITE_REGISTERS:
            count = int.from_bytes(pdu[3:5], "big")
            values = tuple(int.from_bytes(pdu[6 + 2 * n : 8 + 2 * n], "big") for n in range(count))
            self.registers[address : address + count] = values
        elif function == _MASK:
            keep, put = int.from_bytes(pdu[3:5], "big"), int.from_bytes(pdu[5:7], "big")
            values = (self.registers[address] & keep | put & ~keep & 0xFFFF,)
            self.registers[address] = values[0]
        else:
            return bytes((function | 0x80, 1))
        self.writes.append((function, address, values))
        return pdu if function in (_WRITE_COIL, _WRITE_REGISTER, _MASK) else pdu[:5]
