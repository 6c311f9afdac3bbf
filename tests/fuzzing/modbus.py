"""Real sessions of the Modbus driver against servers that fuzz: one run of some seconds.

Two units behind one connection, one request at a time, and a third device that gets four at once;
or all of them by RTU over TCP.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from forebay.drivers.modbus import SPEC
from forebay.interfaces import DeviceSpec
from forebay.model import Schema
from fuzzing.judge import ModbusJudge
from fuzzing.memory import watched
from fuzzing.modbus_plc import FuzzingPlc
from fuzzing.report import brief, told
from fuzzing.sessions import serving
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fuzzing.wire import Asked

WILD = 0.08
"""The share of answers that are not as they should be: enough right ones to get scans through."""
WORDS, BITS = 40, 24
UNITS = {"first": 1, "second": 2, "third": 3}


async def fuzz(
    seed: int, seconds: float, tell: Callable[[str], None], *, rtu: bool = False
) -> Counter[str]:
    """Fuzz for so long; give what was counted. AssertionError if a value was invented.

    Sessions and servers live through all of it: what they would pile up must show.
    """
    rng, seams = random.Random(seed), system_seams()
    one, many = (
        FuzzingPlc(random.Random(rng.random()), seams.clock.boottime_ns, wild=WILD, rtu=rtu)
        for _ in range(2)
    )
    async with one, many:
        specs = [
            _device("first", one.port, rtu=rtu),
            _device("second", one.port, rtu=rtu),
            _device("third", many.port, rtu=rtu),
        ]
        recent = Both(one.recent, many.recent)
        judge = ModbusJudge(recent, {name: (unit, _places()) for name, unit in UNITS.items()})

        def counted() -> Counter[str]:
            return judge.seen + told(one.told + many.told)

        async with serving(SPEC, specs, judge, seams):
            sizes = await watched(
                seconds,
                judge.wrong,
                lambda sizes: tell(f"seed {seed}: {brief(counted())}, {sizes}"),
            )
    assert not judge.wrong, judge.wrong
    return counted() + Counter(growth_bytes=sizes.growth_bytes)


class Both:
    """The requests that both servers remember."""

    def __init__(self, *recent: Iterable[Asked]) -> None:
        self._recent = recent

    def __iter__(self) -> Iterator[Asked]:
        return chain(*self._recent)


def _places() -> list[tuple[str, int]]:
    """Give each column's area and address: words in two areas with holes between, and bits."""
    words = [("holding", 4 * n + 40 * (n // 10)) for n in range(WORDS // 2)]
    words += [("input", 4 * n) for n in range(WORDS // 2)]
    return (
        words
        + [("coil", 3 * n) for n in range(BITS // 2)]
        + [("discrete", n) for n in range(BITS // 2)]
    )


def _device(name: str, port: int, *, rtu: bool) -> DeviceSpec:
    rows = [
        SPEC.tag.model_validate(
            {
                "name": f"{area}{address}",
                "address": f"{area}:{address}",
                "type": "uint64" if area in ("holding", "input") else "bool",
            }
        )
        for area, address in _places()
    ]
    settings = SPEC.settings.model_validate(
        {
            "protocol": "modbus",
            "host": "127.0.0.1",
            "port": port,
            "unit": UNITS[name],
            "transport": "rtu-over-tcp" if rtu else "tcp",
            "pipeline": 4 if name == "third" and not rtu else 1,
            "max_registers": 40,
            "tags": (),
            "timeout": "100 ms",
            "backoff": {"first": "2 ms", "most": "20 ms"},
            "groups": {"default": {"period": "10 ms"}},
        }
    )
    schema = Schema(name, "default", tuple(row.to_tag() for row in rows))
    return DeviceSpec(name, settings, (schema,), {row.name: row for row in rows})
