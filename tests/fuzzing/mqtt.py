"""A real session of the MQTT driver on mosquitto, behind a line that fuzzes what the broker sends.

Values say whose they are, as those of `fuzzing.opcua`. A broker may send a message again, so one
that came before is none that was made up; all others must be whole, of their own topic and
published, or else be in bytes that the line had spoilt.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING

import aiomqtt

from forebay import cancellation
from forebay.drivers.mqtt import SPEC
from forebay.interfaces import DeviceSpec
from forebay.model import Schema, is_bad
from fuzzing.line import REMEMBERED_NS, FuzzingLine, packet_of_mqtt
from fuzzing.memory import watched
from fuzzing.opcua import decoded, encoded
from fuzzing.report import brief, told
from fuzzing.sessions import serving
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.model import Batch, Gap

WILD = 0.02
"""The share of packets that are not as they were."""
TAGS = 8
_PEN_S = 0.002


class MqttJudge:
    """Implements `forebay.interfaces.Intake`; `published` is the last counter of all."""

    def __init__(self, line: FuzzingLine, now_ns: Callable[[], int]) -> None:
        self._line, self._now_ns = line, now_ns
        self.published = 0
        self.seen = Counter[str]()
        self.wrong: list[str] = []

    async def accept(self, batch: Batch) -> None:
        """Judge each sample."""
        self.seen["rows"] += 1
        for sample in batch.iter_samples():
            if is_bad(sample.quality):
                self.seen["bad"] += 1
                continue
            self.seen["good"] += 1
            assert isinstance(sample.value, int)
            if self._made_up(int(sample.tag.name[1:]), sample.value):
                since_ns = self._now_ns() - REMEMBERED_NS
                self.seen["spoilt, and good to all appearance"] += 1
                if not self._line.was_spoilt(str(sample.value).encode(), since_ns):
                    self.wrong.append(f"{sample.value} of {sample.tag.name}")
        del self.wrong[20:]

    async def commit(self, batch: Batch) -> None:
        """See `Intake.commit`: nothing here commits."""
        await self.accept(batch)

    def account(self, gap: Gap) -> None:
        """See `Intake.account`: a busy machine may stand still."""
        self.seen["gaps"] += 1

    def _made_up(self, tag: int, value: int) -> bool:
        found = decoded(float(value)) if abs(value) < 2**53 else None
        return found is None or found[0] != tag or not 0 < found[1] <= self.published


async def fuzz(
    broker_port: int, seed: int, seconds: float, tell: Callable[[str], None]
) -> Counter[str]:
    """Fuzz for so long; give what was counted. AssertionError if a value was invented.

    Session and line live through all of it: what they would pile up must show.
    """
    seams = system_seams()
    now_ns = seams.clock.boottime_ns
    line = FuzzingLine(broker_port, random.Random(seed), now_ns, wild=WILD, packet=packet_of_mqtt)
    judge = MqttJudge(line, now_ns)

    def counted() -> Counter[str]:
        return judge.seen + told(line.told)

    async with line, aiomqtt.Client("127.0.0.1", broker_port, timeout=10) as client:
        publishing = asyncio.create_task(_publish(client, judge), name="publisher")
        try:
            async with serving(SPEC, [_device(line.port)], judge, seams):
                sizes = await watched(
                    seconds,
                    judge.wrong,
                    lambda sizes: tell(f"seed {seed}: {brief(counted())}, {sizes}"),
                )
        finally:
            ended = publishing.done()
            await cancellation.end([publishing])
        if ended:
            publishing.result()
    assert not judge.wrong, judge.wrong
    return counted() + Counter(growth_bytes=sizes.growth_bytes)


async def _publish(client: aiomqtt.Client, judge: MqttJudge) -> None:
    """Say one value after the other, past the line."""
    while True:
        judge.published += 1
        tag = judge.published % TAGS
        await client.publish(f"hall/t{tag}", str(int(encoded(tag, judge.published))), qos=1)
        await asyncio.sleep(_PEN_S)


def _device(port: int) -> DeviceSpec:
    rows = [
        SPEC.tag.model_validate({"name": f"t{n}", "address": f"hall/t{n}", "type": "int64"})
        for n in range(TAGS)
    ]
    settings = SPEC.settings.model_validate(
        {
            "protocol": "mqtt",
            "host": "127.0.0.1",
            "port": port,
            "tls": False,
            "tags": (),
            "timeout": "500 ms",
            "clean_session": True,
            "keepalive": 2,
            "backoff": {"first": "20 ms", "most": "100 ms"},
            "groups": {"default": {"mode": "subscribe"}},
        }
    )
    schema = Schema("hall", "default", tuple(row.to_tag() for row in rows))
    return DeviceSpec("hall", settings, (schema,), {row.name: row for row in rows})
