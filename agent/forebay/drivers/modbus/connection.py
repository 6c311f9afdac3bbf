"""One TCP connection to a Modbus device: a scan out, its answers into one image, or an error.

Owns matching answers to requests and refusing everything else. Must not know tags, decoding or
retries.

Invariants:
- a transaction id is not used again before 65,536 others were, and never after an answer was given
  up;
- an answer becomes data only if id, protocol, length, unit, function and byte count are those of an
  open request;
- after the first thing wrong, and after a cancelled exchange, the connection is dead: no later byte
  of it is looked at;
- what is buffered never exceeds one frame.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from forebay.drivers.modbus.codec import (
    HEADER_BYTES,
    SHORTEST_BYTES,
    Request,
    difference,
    plausible_header,
)
from forebay.errors import DeviceUnreachable, ProtocolViolation
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNREACHABLE_HINT = "check that the device is powered and that nothing else uses up its connections"
_PIPELINE_HINT = "try max_in_flight = 1: many devices answer only one request at a time"
_VIOLATION_HINT = (
    "check that host and port are those of a Modbus TCP device, with no proxy mixing answers"
)


class Connection(asyncio.Protocol):
    """A connection that exchanges one scan at a time.

    `depth` is how many requests may be open at once, 1 to 16; `timeout_s` the longest wait for
    the next answer.
    """

    def __init__(self, depth: int, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._depth = depth
        self._timeout_s = timeout_s
        self._heard_s = 0.0  # when the last answer came, or the exchange began
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._failure: DeviceUnreachable | ProtocolViolation | None = None
        self._rest = b""
        self._next_id = 0
        self._waiter: asyncio.Future[None] | None = None
        self._requests: Sequence[Request] = ()
        self._image = bytearray()
        self._answered = bytearray()
        self._low = 0  # every request below this index is answered
        self._sent = 0  # every request below this index is on the wire
        self._refused: list[tuple[int, int]] = []

    async def exchange(
        self, requests: Sequence[Request], image: bytearray
    ) -> list[tuple[int, int]]:
        """Send every request and put every answer's data at its place in `image`.

        Gives (index, exception code) for each request that the device refused; its place in `image`
        is zeroed. Raises DeviceUnreachable or ProtocolViolation, after which, as after
        cancellation, the connection is dead and `image` means nothing.
        """
        if self._failure is not None:
            raise self._failure
        assert self._waiter is None, "one exchange at a time"
        if not requests:
            return []
        self._requests, self._image = requests, image
        self._answered = bytearray(len(requests))
        self._low = self._sent = 0
        self._refused = []
        waiter = self._waiter = self._loop.create_future()
        self._heard_s = self._loop.time()
        watch = self._loop.call_later(self._timeout_s, self._watch, waiter)
        self._send()
        try:
            await waiter
        except asyncio.CancelledError:
            self._fall_silent("the wait for an answer was given up")
            raise
        finally:
            self._waiter = None
            watch.cancel()
        self._next_id = (self._next_id + len(requests)) & 0xFFFF
        return self._refused

    async def close(self) -> None:
        """Drop the connection and wait until it is gone."""
        if self._transport is not None:
            self._transport.abort()
            await self._closed

    def _watch(self, waiter: asyncio.Future[None]) -> None:
        """Give up the exchange of `waiter` if no whole answer came for `timeout_s`."""
        due_s = self._heard_s + self._timeout_s
        if self._waiter is not waiter or waiter.done():
            return
        if self._loop.time() < due_s:
            self._loop.call_at(due_s, self._watch, waiter)
        else:
            self._fall_silent(f"no answer within {self._timeout_s:g} s")

    def _send(self) -> None:
        """Put as many requests on the wire as `depth` allows beyond the oldest open one."""
        end = min(self._low + self._depth, len(self._requests))
        if end > self._sent and self._transport is not None:
            first, requests = self._next_id, self._requests
            self._transport.write(
                b"".join(
                    [
                        ((first + i) & 0xFFFF).to_bytes(2, "big") + requests[i].body
                        for i in range(self._sent, end)
                    ]
                )
            )
            self._sent = end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio.Protocol)."""
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is waiting (asyncio.Protocol)."""
        if not self._closed.done():
            self._closed.set_result(None)
        reason = "the device closed the connection" if exc is None else f"connection lost: {exc}"
        self._fail(
            DeviceUnreachable(reason, hint=_UNREACHABLE_HINT, status=Quality.BAD_NO_COMMUNICATION)
        )

    def data_received(self, data: bytes) -> None:
        """Match frames to open requests; refuse the first that fits none (asyncio.Protocol)."""
        if self._failure is not None:
            return
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= SHORTEST_BYTES:
            end = self._take(data, at)
            if end == 0:
                return
            if end > size:
                break
            at = end
        self._rest = data[at:]
        if self._waiter is None or self._low == len(self._requests):
            if self._rest:
                self._violate("bytes that nothing asked for", self._rest)
            elif self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        elif len(self._rest) >= HEADER_BYTES and not plausible_header(self._rest):
            self._violate("no Modbus header", self._rest)
        else:
            self._send()

    def _take(self, data: bytes, at: int) -> int:
        """Take the frame at `at`, of which at least SHORTEST_BYTES are there.

        Gives where it ends, which is beyond `data` if it is not whole yet (then nothing was taken),
        or 0 if it was refused.
        """
        low = self._low
        number = (data[at] << 8) | data[at + 1]
        index = low + ((number - self._next_id - low) & 0xFFFF)
        if self._waiter is None or index >= self._sent or self._answered[index]:
            return self._violate(f"transaction id {number} is not open", data[at:])
        request = self._requests[index]
        if data[at + 2 : at + 9] == request.head:
            end = at + 9 + request.size
            if end > len(data):
                return end
            self._image[request.offset : request.offset + request.size] = data[at + 9 : end]
        elif data[at + 2 : at + 8] == request.refusal:
            end = at + 9
            self._image[request.offset : request.offset + request.size] = bytes(request.size)
            self._refused.append((index, data[at + 8]))
        else:
            return self._violate(difference(data[at : at + 9], request), data[at:])
        self._answered[index] = 1
        self._heard_s = self._loop.time()
        if index == low:
            while low < self._sent and self._answered[low]:
                low += 1
            self._low = low
        return end

    def _violate(self, reason: str, frame: bytes) -> int:
        """Refuse the connection because of `frame`; gives 0."""
        detail = f"{reason} (frame begins {frame[:SHORTEST_BYTES].hex(' ')})"
        self._fail(
            ProtocolViolation(
                f"the device broke the Modbus protocol: {detail}",
                hint=_VIOLATION_HINT,
                status=Quality.BAD_COMMUNICATION_ERROR,
            )
        )
        return 0

    def _fall_silent(self, reason: str) -> None:
        hint = _UNREACHABLE_HINT if self._depth == 1 else _PIPELINE_HINT
        self._fail(DeviceUnreachable(reason, hint=hint, status=Quality.BAD_TIMEOUT))

    def _fail(self, error: DeviceUnreachable | ProtocolViolation) -> None:
        """End the connection; the first error is the one that is told."""
        if self._failure is None:
            self._failure = error
            self._rest = b""
        if self._transport is not None:
            self._transport.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._failure)
