"""A line on which nothing but the order tells whose an answer is: RTU and ASCII.

Owns turns of one request and one answer, the silence between them, and that no late answer is taken
for another (`owed`). Must not know tags, decoding or retries, nor whether a serial port or a TCP
connection carries the bytes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, cast

from forebay.drivers.modbus.codec import OPEN, meaning
from forebay.drivers.modbus.echo import Echo
from forebay.drivers.modbus.wire import (
    GATEWAY_SILENCE,
    IDLE_HINT,
    UNREACHABLE_HINT,
    gateway_silence,
    given_up,
    silence,
    violation,
)
from forebay.errors import DeviceError, DeviceUnreachable
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.drivers.modbus.codec import Request
    from forebay.drivers.modbus.framing import Found, Framing
    from forebay.drivers.modbus.manners import Manners
    from forebay.drivers.modbus.owed import Owed
    from forebay.drivers.modbus.wire import Job
    from forebay.interfaces import Line

_HINT = "check speed, parity, wiring and termination, and that no two units have one number"
_ECHO_HINT = "leave out echo = true, unless the adapter repeats what is sent"
_ERROR = 0x80


class Tempo(NamedTuple):
    """How fast the line is.

    `character_s` is how long one character takes, 0 where a TCP connection carries it. The line
    must be silent for `silence_s` before a request. After a pause of `rest_s` what is not a whole
    answer is none.
    """

    character_s: float
    silence_s: float
    rest_s: float


class Bus(asyncio.Protocol):
    """A line that does one request at a time; see `wire.Wire`.

    `precious`: losing the connection would not help, as on a serial port; what is wrong then ends
    the job alone. `echo`: the adapter repeats what is sent.
    """

    numbered = False

    def __init__(
        self, line: Line, manners: Manners, owed: Owed, framing: Framing, tempo: Tempo,
        *, precious: bool, echo: bool = False,
    ) -> None:  # fmt: skip
        self._loop = asyncio.get_running_loop()
        self._line, self._manners, self._owed = line, manners, owed
        self._framing, self._tempo, self._precious = framing, tempo, precious
        self._echo = Echo(told=echo)
        self._transport: asyncio.WriteTransport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._failure: DeviceError | None = None
        self._buffer = bytearray()
        self._skipped, self._last = 0, b""
        self._moved_s = self._loop.time()  # when the last byte came, or ours will have gone
        self._request: Request | None = None
        self._waiter: asyncio.Future[bytes] = self._loop.create_future()

    @property
    def alive(self) -> bool:
        """See `Wire.alive`."""
        return self._failure is None

    @property
    def repeats(self) -> bool | None:
        """See `Wire.repeats`."""
        return self._echo.repeats

    def distinct(self, unit: int, probes: Sequence[Request]) -> Request:
        """See `Wire.distinct`."""
        return self._owed.distinct(unit, probes, self._loop.time())

    async def run(self, job: Job) -> None:
        """See `Wire.run`."""
        if job.terms.patience_s is None and self._owed.owes(job.unit, self._loop.time()):
            self._manners.doubt(job.unit)
            raise DeviceUnreachable(
                f"an answer of unit {job.unit} is still to come, and could be taken for another",
                hint="it is asked again by itself once it has shown that it is there",
                status=Quality.BAD_TIMEOUT,
            )
        total_s = 0.0
        while not job.done:
            if job.low and self._line.wanted and not job.steady:
                await self._line.give_way()
            took_s = await self._ask(job)
            total_s += took_s
            job.slowest_s = max(job.slowest_s, took_s)
        if job.count:
            self._owed.settled(job.unit)
            self._manners.answered(job.unit, job.slowest_s, total_s / job.count)

    async def close(self) -> None:
        """See `Wire.close`."""
        if self._transport is not None:
            self._fail(
                DeviceUnreachable(
                    "the connection was closed by us",
                    hint="wait: it is opened again when the device is",
                    status=Quality.BAD_NOT_CONNECTED,
                )
            )
            await self._closed

    async def _ask(self, job: Job) -> float:
        """Send the job's next request and take its answer; gives how long that took."""
        request = job.requests[job.low]
        await self._quiet(job)
        if self._failure is not None:
            raise self._failure
        began_s = self._loop.time()
        if job.sent == 0:
            job.go(began_s)
        frame = self._framing.wrap(request.body[4:])
        assert self._transport is not None
        self._request, self._waiter = request, self._loop.create_future()
        self._echo.sent(frame)
        self._transport.write(frame)
        job.sent += 1
        self._moved_s = began_s + len(frame) * self._tempo.character_s
        try:
            answer = await self._answer(job, request)
            self._echo.answered()
        except BaseException:  # no answer, a spoiled one, or cancelled
            for _ in range(1 + self._echo.awaited):  # our own bytes may be late, too
                self._owed.add(request, began_s, self._loop.time())
            self._manners.doubt(job.unit)
            raise
        finally:
            self._request = None
            self._echo.ended()
            if self._waiter.done():
                self._waiter.exception()  # whoever asks is told by what is raised here
        self._settle(job, request, answer)
        return self._loop.time() - began_s

    async def _answer(self, job: Job, request: Request) -> bytes:
        """Wait for the answer to `request`, unit and PDU."""
        terms = job.terms
        given_s = terms.timeout_s if terms.patience_s is None else terms.patience_s
        size = 254 if request.size == OPEN else 3 + request.size
        answer_s = self._framing.wire_bytes(size) * self._tempo.character_s
        end_s = self._moved_s + given_s + answer_s
        while not self._waiter.done():
            now_s = self._loop.time()
            heard = bool(self._skipped or self._buffer)
            rest_end_s = (self._moved_s if heard else now_s) + self._tempo.rest_s
            look_s = min(end_s, rest_end_s)
            if now_s < look_s:
                await asyncio.wait([self._waiter], timeout=look_s - now_s)
                continue
            self._scan(final=True)
            if not self._waiter.done():
                self._give_up(job, heard=heard, waited_s=given_s)
        return self._waiter.result()

    def _give_up(self, job: Job, *, heard: bool, waited_s: float) -> None:
        """Raise what the missing answer means: silence, or bytes that are none."""
        if heard:
            hint = _ECHO_HINT if self._echo.awaited else _HINT
            error: DeviceError = violation(
                f"{self._skipped} bytes that are no right answer", self._last, hint
            )
            if not self._precious:
                self._fail(error)
            raise error
        if job.terms.patience_s is not None and waited_s < job.terms.timeout_s:
            self._manners.lost_patience(job.unit)
        elif self._manners.fell_silent(job.unit) and not self._precious:
            self._fail(given_up())
        raise silence(waited_s, 1)

    def _settle(self, job: Job, request: Request, answer: bytes) -> None:
        """Put an answer into the job."""
        size = max(request.size, 0)
        place = slice(request.offset, request.offset + size)
        if answer[1] & _ERROR:
            job.image[place] = bytes(size)
            job.refused.append((job.low, answer[2]))
            if answer[2] in GATEWAY_SILENCE:
                self._manners.told_silent(job.unit)
                raise gateway_silence(answer[2], meaning(answer[2]).text)
        elif request.size == OPEN:
            job.image[:] = answer[2:]
        else:
            job.image[place] = answer[3:]
        job.answered[job.low] = 1
        job.low += 1

    async def _quiet(self, job: Job) -> None:
        """Wait until the line has been silent for long enough, and forget what came before."""
        silence_s = max(self._tempo.silence_s, job.pause_s)
        end_s = self._loop.time() + silence_s + job.terms.timeout_s
        while (wait_s := self._moved_s + silence_s - self._loop.time()) > 0:
            if self._loop.time() > end_s:
                raise DeviceUnreachable(
                    "the line is never silent", hint=_HINT, status=Quality.BAD_COMMUNICATION_ERROR
                )
            await asyncio.sleep(wait_s)
        self._scan(final=True)
        self._buffer.clear()
        self._skipped, self._last = 0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio.Protocol)."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is waiting (asyncio.Protocol)."""
        if not self._closed.done():
            self._closed.set_result(None)
        reason = "the device closed the connection" if exc is None else f"connection lost: {exc}"
        hint = IDLE_HINT if self._request is None else UNREACHABLE_HINT
        self._fail(DeviceUnreachable(reason, hint=hint, status=Quality.BAD_NO_COMMUNICATION))

    def data_received(self, data: bytes) -> None:
        """Look for answers (asyncio.Protocol)."""
        if self._failure is not None:
            return
        self._moved_s = self._loop.time()
        self._echo.heard(data)
        self._buffer += data
        self._scan(final=False)
        if self._request is None and not self._owed.requests() and not self._precious:
            what = bytes(data)
            self._fail(violation("bytes that nothing asked for", what, _HINT))
        over = len(self._buffer) - self._framing.most_bytes
        if over > 0:
            self._skip(bytes(self._buffer[:over]))
            del self._buffer[:over]

    def _scan(self, *, final: bool) -> None:
        """Take every answer from what was heard: the one waited for, and late ones."""
        if self._echo.awaited:
            late = self._echo.cut(self._buffer)
            if late is not None:
                self._take_all(late, None, final=True)
            elif final:
                self._skip(bytes(self._buffer))
                self._buffer.clear()
            else:
                return
        self._take_all(self._buffer, self._request, final=final)

    def _take_all(self, buffer: bytearray, asked: Request | None, *, final: bool) -> None:
        """Take every answer from `buffer`: that to what was `asked`, and late ones."""
        while buffer:
            # An exception fits any request of its unit: while one may be late, it is that.
            owed = self._owed.requests()
            waited = asked if asked and not self._waiter.done() else None
            candidates = owed if waited is None else [waited, *owed]
            before = bytes(buffer)
            found, skipped = self._framing.take(buffer, candidates, final=final)
            if skipped:
                self._skip(before[:skipped])
            if found is None:
                return
            self._take(found, waited, candidates)

    def _take(self, found: Found, waited: Request | None, candidates: Sequence[Request]) -> None:
        """Give an answer to who waits for it, or drop it as late."""
        request = candidates[found.which]
        if request is waited and found.message[1] & _ERROR:
            function, unit = waited.head[5], waited.head[4]
            same = [r for r in self._owed.requests() if (r.head[5], r.head[4]) == (function, unit)]
            request = same[0] if same else request
        if request is waited:
            self._waiter.set_result(found.message)
        else:
            now_s = self._loop.time()
            self._manners.late(request.head[4], self._owed.came(request, now_s))

    def _skip(self, what: bytes) -> None:
        """Count bytes that are part of no answer, and keep the first for who asks why."""
        self._skipped += len(what)
        self._last = (self._last + what)[:16]

    def _fail(self, error: DeviceError) -> None:
        """End the wire; the first error is the one that is told."""
        if self._failure is None:
            self._failure = error
            self._buffer.clear()
        if self._transport is not None:
            self._transport.abort()
        if self._request is not None and not self._waiter.done():
            self._waiter.set_exception(self._failure)
