"""A real session of the MQTT driver on mosquitto, behind a line that fuzzes what the broker sends.

Values say whose they are, as those of `fuzzing.opcua`. A broker may send a message again, so one
that came before is none that was made up; all others must be whole, of their own topic and
published, or else be in bytes that the line had spoilt.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import aiomqtt

from forebay.drivers.mqtt import SPEC
from forebay.interfaces import DeviceSpec
from forebay.model import Schema, is_bad
from fuzzing.line import REMEMBERED_NS, FuzzingLine, packet_of_mqtt
from fuzzing.memory import Sizes
from fuzzing.opcua import decoded, encoded
from fuzzing.report import brief, told
from fuzzing.sessions import serving
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Callable

    from forebay.interfaces import Seams
    from forebay.model import Batch, Gap

WILD = 0.02
"""The share of packets that are not as they were."""
ROUND_S = 20.0
LOOK_S = 1.0
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
    """Fuzz for so long; give what was counted. AssertionError if a value was invented."""
    counted, sizes, seams = Counter[str](), Sizes(), system_seams()
    end_s = time.monotonic() + seconds
    for turn in count():
        left_s = end_s - time.monotonic()
        if left_s <= 0:
            break
        rng = random.Random(f"{seed} {turn}")
        counted += await _round(broker_port, seams, rng, min(ROUND_S, left_s), sizes)
        tell(f"seed {seed}, round {turn}: {brief(counted)}, {sizes}")
    counted["growth_bytes"] = sizes.growth_bytes
    return counted


async def _round(
    broker_port: int, seams: Seams, rng: random.Random, seconds: float, sizes: Sizes
) -> Counter[str]:
    now_ns = seams.clock.boottime_ns
    line = FuzzingLine(broker_port, rng, now_ns, wild=WILD, packet=packet_of_mqtt)
    async with line, aiomqtt.Client("127.0.0.1", broker_port, timeout=10) as client:
        judge = MqttJudge(line, now_ns)
        async with serving(SPEC, [_device(line.port)], judge, seams):
            end_s = time.monotonic() + seconds
            look_s = 0.0
            while (now_s := time.monotonic()) < end_s and not judge.wrong:
                judge.published += 1
                tag = judge.published % TAGS
                value = int(encoded(tag, judge.published))
                await client.publish(f"hall/t{tag}", str(value), qos=1)
                await asyncio.sleep(_PEN_S)
                if now_s >= look_s:
                    sizes.look()
                    look_s = now_s + LOOK_S
    assert not judge.wrong, judge.wrong
    return judge.seen + told(line.told)


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
