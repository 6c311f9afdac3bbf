"""Real sessions of the OPC UA driver against node-opcua, behind a line that fuzzes its answers.

Each value that the server is given says whose it is and when it was given: the tag's number, a
counter and a checksum, together an integer that a Double holds exactly. Without security nobody can
tell that a byte was changed on the way, so a value that is not whole must be, byte for byte, in
something that the line had spoilt; every whole one must be its tag's own, and not older than one
that came before, or than what the server had when the poll began.
"""

from __future__ import annotations

import asyncio
import random
import struct
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from forebay.drivers.opcua import SPEC
from forebay.interfaces import DeviceSpec
from forebay.model import BAD_SEVERITY, Schema
from fuzzing.line import REMEMBERED_NS, FuzzingLine
from fuzzing.memory import watched
from fuzzing.report import brief, told
from fuzzing.sessions import serving
from support.node_opcua import NAMESPACE
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.model import Batch, Gap
    from fuzzing.memory import Sizes
    from support.node_opcua import NodeOpcua

WILD = 0.05
"""The share of chunks that are not as they were: a handshake must get through, too."""
TAGS = 24
_SLACK_NS = 2_000_000
_PEN_S = 0.01
_NAMES = tuple(f"V{number}" for number in range(TAGS))


def encoded(tag: int, counter: int) -> float:
    """Give the value that says so."""
    body = tag << 24 | counter
    return float(body << 16 | zlib.crc32(body.to_bytes(5, "big")) & 0xFFFF)


def decoded(value: float) -> tuple[int, int] | None:
    """Give tag and counter of a value; None if it is not whole."""
    if not (0 <= value < 2**53 and value == int(value)):
        return None
    body, check = int(value) >> 16, int(value) & 0xFFFF
    if body >= 1 << 37 or zlib.crc32(body.to_bytes(5, "big")) & 0xFFFF != check:
        return None
    return body >> 24, body & 0xFF_FFFF


class Pen:
    """Writes counters into the server's variables; `given` is by tag: when the server had it.

    Never cancelled in the middle of an order: its answer would be taken for that of the next.
    """

    def __init__(self, server: NodeOpcua, now_ns: Callable[[], int]) -> None:
        self.server, self._now_ns = server, now_ns
        self.given: list[list[tuple[int, int]]] = [[] for _ in _NAMES]
        self.stopped = False
        self._counter = 0

    async def write(self) -> None:
        """Give a new value to each variable in turn, until `stopped`."""
        self.stopped = False
        while not self.stopped:
            for tag, name in enumerate(_NAMES):
                self._counter += 1
                await self.server.set(name, encoded(tag, self._counter))
                self.given[tag].append((self._now_ns(), self._counter))
                del self.given[tag][:-200]
            await asyncio.sleep(_PEN_S)

    def at_least(self, tag: int, at_ns: int) -> int:
        """Give the counter that the server certainly had then; 0 if that is forgotten."""
        return max((c for since_ns, c in self.given[tag] if since_ns <= at_ns), default=0)


class OpcUaJudge:
    """Implements `forebay.interfaces.Intake`."""

    def __init__(self, line: FuzzingLine, pen: Pen, now_ns: Callable[[], int]) -> None:
        self._line, self._pen, self._now_ns = line, pen, now_ns
        self.seen = Counter[str]()
        self.wrong: list[str] = []
        self._newest: Counter[tuple[str, int]] = Counter()

    async def accept(self, batch: Batch) -> None:
        """Judge each sample, in order."""
        self.seen["rows"] += 1
        polled = batch.index is None
        began_ns = self._now_ns() if batch.boottime_ns is None else int(batch.boottime_ns[0])
        began_ns += int(batch.times_ns[0]) - int(batch.received_ns[0]) - _SLACK_NS
        index = np.arange(TAGS) if batch.index is None else batch.index
        values = batch.values[0].reshape(-1).tolist()
        quality = np.zeros(len(values), np.uint32) if batch.quality is None else batch.quality
        for tag, value, status in zip(index.tolist(), values, quality.reshape(-1), strict=True):
            if status & BAD_SEVERITY:
                self.seen["bad"] += 1
                continue
            self.seen["good"] += 1
            wrong = self._fault(batch.schema.source, tag, value, began_ns if polled else 0)
            if wrong and not self._spoilt(value):
                self.wrong.append(f"{batch.schema.source}: {wrong}")
            self.seen["spoilt, and good to all appearance"] += bool(wrong)
        del self.wrong[20:]

    async def commit(self, batch: Batch) -> None:
        """See `Intake.commit`: nothing here commits."""
        await self.accept(batch)

    def account(self, gap: Gap) -> None:
        """See `Intake.account`: a busy machine may stand still."""
        self.seen["gaps"] += 1

    def _fault(self, source: str, tag: int, value: float, began_ns: int) -> str:
        """Say what is wrong with a value, empty if nothing is."""
        found = decoded(value)
        if found is None:
            return "" if value == float(tag) else f"{value!r} is not whole"
        of, counter = found
        if of != tag:
            return f"the value of tag {of} as that of {tag}"
        newest, since = self._newest[source, tag], self._pen.at_least(tag, began_ns)
        if counter < max(newest, since):
            return f"{counter} of tag {tag} after {newest}, and {since} when the poll began"
        self._newest[source, tag] = counter
        return ""

    def _spoilt(self, value: float) -> bool:
        """Whether the line had put these very bytes into what the server sent."""
        since_ns = self._now_ns() - REMEMBERED_NS
        return self._line.was_spoilt(struct.pack("<d", value), since_ns)


async def fuzz(
    server: NodeOpcua, seed: int, seconds: float, tell: Callable[[str], None]
) -> Counter[str]:
    """Fuzz for so long; give what was counted. AssertionError if a value was invented.

    Sessions and line live through all of it: what they would pile up must show.
    """
    seams = system_seams()
    now_ns = seams.clock.boottime_ns
    pen = Pen(server, now_ns)
    line = FuzzingLine(server.port, random.Random(seed), now_ns, wild=WILD)
    judge = OpcUaJudge(line, pen, now_ns)

    def counted() -> Counter[str]:
        return judge.seen + told(line.told)

    def look(sizes: Sizes) -> None:
        assert not writing.done(), writing
        tell(f"seed {seed}: {brief(counted())}, {sizes}")

    async with line:
        writing = asyncio.create_task(pen.write(), name="pen")
        try:
            specs = [_device("polled", line.port), _device("subscribed", line.port)]
            async with serving(SPEC, specs, judge, seams):
                sizes = await watched(seconds, judge.wrong, look)
        finally:
            pen.stopped = True
            await writing
    assert not judge.wrong, judge.wrong
    return counted() + Counter(growth_bytes=sizes.growth_bytes)


def _device(name: str, port: int) -> DeviceSpec:
    rows = [
        SPEC.tag.model_validate(
            {"name": tag, "address": f"nsu={NAMESPACE};s={tag}", "type": "float64"}
        )
        for tag in _NAMES
    ]
    polled = name == "polled"
    settings = SPEC.settings.model_validate(
        {
            "protocol": "opcua",
            "endpoint": f"opc.tcp://127.0.0.1:{port}",
            "security_policy": "None",
            "timeout": "500 ms",
            "session_timeout": "5 s",
            "keepalive": "500 ms",
            "timestamps": "gateway" if polled else "source",
            "backoff": {"first": "20 ms", "most": "100 ms"},
            "groups": {
                "default": {"mode": "poll", "period": "10 ms"}
                if polled
                else {"mode": "subscribe", "period": "10 ms"}
            },
        }
    )
    schema = Schema(name, "default", tuple(row.to_tag() for row in rows))
    return DeviceSpec(name, settings, (schema,), {row.name: row for row in rows})
