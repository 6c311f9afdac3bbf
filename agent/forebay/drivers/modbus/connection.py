"""One connection on which every answer carries a transaction id: Modbus over TCP, TLS and UDP.

Owns matching answers to requests and refusing everything else. Must not know tags, decoding or
retries.

Invariants:
- a transaction id is not used again before 65,536 others were, nor while the answer that was given
  up under it may still come;
- an answer becomes data only if id, protocol, length, unit, function and byte count are those of an
  open request;
- an answer that was given up is dropped and counted when it comes, and is nothing to anybody;
- after the first thing wrong the connection is dead: no later byte of it is looked at;
- what is buffered never exceeds one frame.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from forebay.drivers.modbus.codec import (
    FEWER,
    HEADER_BYTES,
    SHORTEST_BYTES,
    difference,
    meaning,
    plausible_header,
)
from forebay.drivers.modbus.late import LateAnswers
from forebay.drivers.modbus.wire import (
    GATEWAY_SILENCE,
    IDLE_HINT,
    UNREACHABLE_HINT,
    Job,
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
    from forebay.drivers.modbus.manners import Manners
    from forebay.interfaces import Line

_VIOLATION_HINT = (
    "check that host and port are those of a Modbus TCP device, with no proxy mixing answers"
)
_PROBE_LOOK_S = 0.01
"""How often a probe looks whether it holds somebody up."""


class Connection(asyncio.Protocol):
    """A connection that does one job at a time; see `wire.Wire`."""

    def __init__(self, line: Line, manners: Manners) -> None:
        self._loop = asyncio.get_running_loop()
        self._line, self._manners = line, manners
        self._heard_s = 0.0  # when the last answer came, or the job began to send
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._failure: DeviceError | None = None
        self._rest = b""
        self._next_id = 0
        self._late = LateAnswers()
        self._job: Job | None = None
        self._waiter: asyncio.Future[None] = self._closed

    @property
    def alive(self) -> bool:
        """See `Wire.alive`."""
        return self._failure is None

    @property
    def numbered(self) -> bool:
        """See `Wire.numbered`."""
        return True

    @property
    def repeats(self) -> bool:
        """See `Wire.repeats`."""
        return False

    def distinct(self, unit: int, probes: Sequence[Request]) -> Request:
        """See `Wire.distinct`: the transaction id tells all apart."""
        del unit
        return probes[0]

    async def run(self, job: Job) -> None:
        """See `Wire.run`."""
        if not job.requests:
            self._raise_failure()
            return
        began_s = self._loop.time()
        ways_given = 0
        while True:
            self._raise_failure()
            await self._go_on(job)
            if job.low == job.count:
                break
            ways_given += 1
            await self._line.give_way()
        mean_s = 0.0 if ways_given else (self._heard_s - began_s) / job.count
        self._manners.answered(job.unit, job.slowest_s, mean_s or job.slowest_s)

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

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _go_on(self, job: Job) -> None:
        """Send and hear until the job is done, or nothing is in flight and the line is wanted."""
        assert self._job is None, "one job at a time"
        if job.pause_s:
            await asyncio.sleep(self._heard_s + job.pause_s - self._loop.time())
            self._raise_failure()
        if job.sent == 0:
            job.go(self._loop.time())
            self._number(job)
        waiter = self._waiter = self._loop.create_future()
        self._job = job
        self._heard_s = self._loop.time()
        watch = self._loop.call_later(self._look_s(job), self._watch, job, waiter)
        self._send(job)
        try:
            await waiter
        finally:
            self._job = None
            watch.cancel()
            if job.low != job.sent:
                self._give_up(job)

    def _number(self, job: Job) -> None:
        """Take a transaction id for each request: the next ones under which nothing may come."""
        try:
            first = self._late.free_from(self._next_id, job.count, self._loop.time())
        except DeviceUnreachable as error:
            self._fail(error)
            raise
        job.first_id = first
        self._next_id = (first + job.count) & 0xFFFF

    def _give_up(self, job: Job) -> None:
        """Remember whose answers may still come, so that they are known when they do."""
        now_s = self._loop.time()
        for index in range(job.low, job.sent):
            if not job.answered[index]:
                number = (job.first_id + index) & 0xFFFF
                self._late.add(number, job.unit, self._heard_s, now_s)

    def _look_s(self, job: Job) -> float:
        """Give for how long there is nothing to decide about a wait that begins now."""
        patience_s = job.terms.patience_s
        return job.terms.timeout_s if patience_s is None else min(patience_s, job.terms.timeout_s)

    def _watch(self, job: Job, waiter: asyncio.Future[None]) -> None:
        """Give up the job if no whole answer came for `timeout_s`, or others lost patience."""
        if self._job is not job or waiter.done():
            return
        terms = job.terms
        waited_s = self._loop.time() - self._heard_s
        given_s = terms.timeout_s
        if terms.patience_s is not None and self._line.waiting():
            given_s = min(terms.patience_s, given_s)
        if waited_s >= given_s:
            self._give_up_waiting(job, waiter, waited_s)
            return
        wait_s = self._look_s(job) - waited_s
        if terms.patience_s is not None:
            wait_s = max(wait_s, _PROBE_LOOK_S)
        self._loop.call_later(wait_s, self._watch, job, waiter)

    def _give_up_waiting(self, job: Job, waiter: asyncio.Future[None], waited_s: float) -> None:
        """End the job, and the connection if it is to be doubted.

        So it is after half an answer, too: the other half would be taken from the next one.
        """
        waiter.set_exception(silence(waited_s, job.terms.depth))
        if waited_s < job.terms.timeout_s:
            self._manners.lost_patience(job.unit)
            doubted = False
        else:
            doubted = self._manners.fell_silent(job.unit)
        if doubted or self._rest:
            self._fail(given_up())

    def _send(self, job: Job) -> None:
        """Put as many requests on the wire as allowed beyond the oldest open one.

        None if somebody waits who goes before: the job gives way once nothing is in flight.
        """
        sent, end = job.sent, job.low + job.depth
        if end > job.count:  # noqa: PLR1730 - min() takes four times as long
            end = job.count
        if end <= sent or self._transport is None:
            return
        if sent - job.low > job.depth >> 1:
            return  # a write costs more than all else of a request: half a window with each
        if self._line.wanted and not job.steady:
            if job.low == sent and not self._waiter.done():
                self._waiter.set_result(None)
            return
        first, requests = job.first_id, job.requests
        if end == sent + 1:
            data = ((first + sent) & 0xFFFF).to_bytes(2, "big") + requests[sent].body
        else:
            numbered = zip(range(first + sent, first + end), requests[sent:end], strict=True)
            data = b"".join([(n & 0xFFFF).to_bytes(2, "big") + r.body for n, r in numbered])
        self._transport.write(data)
        job.sent = end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio.Protocol)."""
        # uvloop's transports do not derive from asyncio.Transport.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is waiting (asyncio.Protocol)."""
        if not self._closed.done():
            self._closed.set_result(None)
        reason = "the device closed the connection" if exc is None else f"connection lost: {exc}"
        hint = UNREACHABLE_HINT if self._job is not None else IDLE_HINT
        self._fail(DeviceUnreachable(reason, hint=hint, status=Quality.BAD_NO_COMMUNICATION))

    def data_received(self, data: bytes) -> None:  # noqa: C901 - the hot path: a call less
        """Match frames to open requests; refuse the first that fits none (asyncio.Protocol)."""
        if self._failure is not None:
            return
        if self._rest:
            data = self._rest + data
        size = len(data)
        at = 0 if self._job is None else self._take_in_order(self._job, data)
        while size - at >= SHORTEST_BYTES:
            end = self._take(data, at)
            if end == 0:
                return
            if end > size:
                break
            at = end
        self._rest = data[at:]
        job = self._job
        if self._rest and not self._may_begin(self._rest, job):
            return
        if job is None or self._waiter.done():
            return
        if job.low == job.count:
            self._waiter.set_result(None)
        elif not job.pause_s:
            self._send(job)
        elif job.low == job.sent:
            self._loop.call_later(job.pause_s, self._send_later, job)

    def _send_later(self, job: Job) -> None:
        if self._job is job and not self._waiter.done():
            self._heard_s = self._loop.time()
            self._send(job)

    def expects(self, frame: bytes) -> bool:
        """Whether a whole frame answers what is open, or what was given up."""
        number = (frame[0] << 8) | frame[1]
        job = self._job
        if job is None:
            return number in self._late
        index = job.low + ((number - job.first_id - job.low) & 0xFFFF)
        if index >= job.sent or job.answered[index]:
            return number in self._late
        request = job.requests[index]
        return (
            frame[2:9] == request.head
            or frame[2:8] == request.refusal
            or request.fits(frame[:SHORTEST_BYTES])
            or request.falls_short(frame[:SHORTEST_BYTES])
        )

    def _may_begin(self, rest: bytes, job: Job | None) -> bool:
        """Whether an answer that is due, or late, may begin so; the connection is dead if not."""
        if (job is None or job.low == job.sent) and not self._late.may_begin(rest):
            self._violate("bytes that nothing asked for", rest)
        elif len(rest) >= HEADER_BYTES and not plausible_header(rest):
            self._violate("no Modbus header", rest)
        return self._failure is None

    def _take_in_order(self, job: Job, data: bytes) -> int:
        """Take the whole frames at the beginning of `data` that are the next good answers in order.

        Gives where the first frame begins that is anything else: `_take` judges that. Of a window
        of answers this is most, at a third of what `_take` costs for each.
        """
        requests, answered, image = job.requests, job.answered, job.image
        begin = low = job.low
        sent, number = job.sent, job.first_id + low
        at, size = 0, len(data)
        while low < sent and not answered[low]:
            request = requests[low]
            body, length = at + 9, request.size
            end = body + length
            if end > size or length < 0:
                break
            if data[at:body] != (number & 0xFFFF).to_bytes(2, "big") + request.head:
                break
            offset = request.offset
            image[offset : offset + length] = data[body:end]
            answered[low] = 1
            low, number, at = low + 1, number + 1, end
        if low != begin:
            while low < sent and answered[low]:
                low += 1
            job.low = low
            self._note_heard(job)
        return at

    def _note_heard(self, job: Job) -> None:
        """Note that an answer came now, and how long it was waited for."""
        now_s = self._loop.time()
        waited_s = now_s - self._heard_s
        if waited_s > job.slowest_s:  # noqa: PLR1730 - max() takes four times as long
            job.slowest_s = waited_s
        self._heard_s = now_s

    def _take(self, data: bytes, at: int) -> int:
        """Take the frame at `at`, of which at least SHORTEST_BYTES are there.

        Gives where it ends, which is beyond `data` if it is not whole yet (then nothing was taken),
        or 0 if it was refused, or ends the job.
        """
        number = (data[at] << 8) | data[at + 1]
        job = self._job
        if job is None:
            return self._take_late(number, data, at)
        low = job.low
        index = low + ((number - job.first_id - low) & 0xFFFF)
        if index >= job.sent or job.answered[index]:
            return self._take_late(number, data, at)
        request = job.requests[index]
        if data[at + 2 : at + 9] == request.head:
            end = at + 9 + request.size
            if end > len(data):
                return end
            job.image[request.offset : request.offset + request.size] = data[at + 9 : end]
        else:
            end = self._take_other(job, index, data, at)
            if not 0 < end <= len(data):
                return end
        job.answered[index] = 1
        self._note_heard(job)
        if index == low:
            low += 1
            while low < job.sent and job.answered[low]:
                low += 1
            job.low = low
        return end

    def _take_other(self, job: Job, index: int, data: bytes, at: int) -> int:
        """Take an exception, an answer whose length only it knows, or one too short; as `_take`."""
        request = job.requests[index]
        if data[at + 2 : at + 8] == request.refusal:
            code, size = data[at + 8], max(request.size, 0)
            job.image[request.offset : request.offset + size] = bytes(size)
            job.refused.append((index, code))
            if code in GATEWAY_SILENCE:
                self._hear_of_silence(job, code)
            return at + SHORTEST_BYTES
        if request.fits(data[at : at + SHORTEST_BYTES]):
            end = at + HEADER_BYTES + ((data[at + 4] << 8) | data[at + 5])
            if end <= len(data):
                job.image[:] = data[at + 8 : end]
            return end
        if request.falls_short(data[at : at + SHORTEST_BYTES]):
            end = at + SHORTEST_BYTES + data[at + 8]
            if end <= len(data):
                job.image[request.offset : request.offset + request.size] = bytes(request.size)
                job.refused.append((index, FEWER))
            return end
        return self._violate(difference(data[at : at + 9], request), data[at:])

    def _take_late(self, number: int, data: bytes, at: int) -> int:
        """Drop an answer that was given up, as `_take`; refuse any other."""
        if number not in self._late or not plausible_header(data[at : at + HEADER_BYTES]):
            return self._violate(f"transaction id {number} is not open", data[at:])
        end = at + HEADER_BYTES + ((data[at + 4] << 8) | data[at + 5])
        if end <= len(data):
            unit, sent_s = self._late.take(number)
            self._manners.late(unit, self._loop.time() - sent_s)
        return end

    def _hear_of_silence(self, job: Job, code: int) -> None:
        """End the job: the gateway does not hear the unit, and asking on would hold up others."""
        self._manners.told_silent(job.unit)
        if not self._waiter.done():
            self._waiter.set_exception(gateway_silence(code, meaning(code).text))

    def _violate(self, reason: str, frame: bytes) -> int:
        """Refuse the connection because of `frame`; gives 0."""
        self._fail(violation(reason, frame, _VIOLATION_HINT))
        return 0

    def _fail(self, error: DeviceError) -> None:
        """End the connection; the first error is the one that is told."""
        if self._failure is None:
            self._failure = error
            self._rest = b""
        if self._transport is not None:
            self._transport.abort()
        if self._job is not None and not self._waiter.done():
            self._waiter.set_exception(self._failure)
