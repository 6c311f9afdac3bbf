"""A box's configurations on a modelled disk, tried by the real rollout on an agent of set words.

A configuration here is one file of text. What runs gives data as its text says: `good` in it means
that the device is polled and its destination acknowledges, `silent` that it is not; `hasty`
in it, that it asks for a trial of a second.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import structlog

from forebay.config.attempts import Offer
from forebay.config.bundle import MAIN, described
from forebay.config.limits import Limits
from forebay.errors import ConfigError, Fault
from forebay.events import Events
from forebay.interfaces import Seams
from forebay.management.booting import Booting, Loaders
from forebay.management.generations import CURRENT, Generations
from forebay.management.rollout import Rollout
from forebay.management.validating import Validated
from forebay.management.views import (
    Applied,
    DeviceVitals,
    JournalVitals,
    UplinkVitals,
    Vitals,
)
from forebay.net import SystemNetwork
from forebay.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.config.attempts import Attempt
    from forebay.config.load import LoadedConfig
    from forebay.model import Batch
    from forebay.testing.disk import FaultyDisk

FOLDER = Path("/state/config")
PROBATION_S = 10.0
PERIOD_S = 0.5
BEFORE_S = 30.0
"""How long what ran before a change has run."""


def loaded_of(text: str) -> LoadedConfig:
    """Give what stands for the loaded configuration of this text."""
    length_s = 1.0 if "hasty" in text else PROBATION_S
    config = SimpleNamespace(fleet=SimpleNamespace(probation=length_s))
    return cast("LoadedConfig", SimpleNamespace(text=text, config=config, quarantined=()))


def text_of(loaded: object) -> str:
    """Give the text again."""
    return str(cast("Any", loaded).text)


def loaders(disk: FaultyDisk, seen: Callable[[Path], None] = lambda _: None) -> Loaders:
    """Give loaders that read generations from `disk`, and the file from the machine."""

    def items(path: Path) -> LoadedConfig:
        seen(path)
        if not path.is_relative_to(FOLDER):
            return strict(path)
        target = disk.pointed(FOLDER / CURRENT)
        place = FOLDER / str(target) if path.parent.name == CURRENT else path.parent
        text = disk.read_bytes(place / MAIN, 1 << 20).decode()
        if "broken" in text:
            raise ConfigError([Fault("gateway", "is broken", "mend it")])
        return loaded_of(text)

    def strict(path: Path) -> LoadedConfig:
        return loaded_of(path.read_text(encoding="utf-8"))

    return Loaders(strict, items)


@dataclass
class ScriptedLive:
    """Implements `management.views.Live`."""

    loaded: LoadedConfig
    clock: FakeClock
    began_s: float = -BEFORE_S
    last_good_s: float = 0.0
    good_s: float = BEFORE_S
    applied: list[str] = field(default_factory=list)
    asked_again: bool = False
    restarts: int = 0

    async def apply(self, loaded: LoadedConfig) -> Applied:
        """See `Live.apply`."""
        self.applied.append(text_of(loaded))
        if text_of(loaded) != text_of(self.loaded):
            self.began_s, self.good_s = self.clock.monotonic_s(), 0.0
        self.loaded = loaded
        return Applied(("device press",))

    def again(self) -> None:
        """See `Live.again`."""
        self.asked_again = True

    def vitals(self) -> Vitals:
        """See `Live.vitals`."""
        now_s = self.clock.monotonic_s()
        flows = "good" in text_of(self.loaded)
        count = round((now_s - self.began_s) / PERIOD_S) if flows else 0
        if flows:
            self.last_good_s = now_s
        device = DeviceVitals(
            self.began_s, count, 1 / PERIOD_S, count, self.last_good_s if count else None
        )
        return Vitals(
            monotonic_s=now_s,
            devices={"press": device},
            journal=JournalVitals(count, self.last_good_s, ""),
            uplinks={"cloud": UplinkVitals(self.began_s, count, connected=flows)},
            fleet_connected=None,
            memory_bytes=1 << 20,
            restarts=self.restarts,
        )


class Records:
    """An intake that keeps what is put on record; `full` refuses."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.fails: Exception | None = None

    async def accept(self, batch: Batch) -> None:
        """See `Intake.accept`."""
        self.batches.append(batch)

    async def commit(self, batch: Batch) -> None:
        """See `Intake.commit`."""
        if self.fails is not None:
            raise self.fails
        self.batches.append(batch)

    def account(self, gap: object) -> None:
        """See `Intake.account`."""
        raise AssertionError(gap)


async def fine(main: Path, working: Sequence[str]) -> Validated:
    """Find nothing wrong."""
    del main, working
    return Validated((), ())


class Box:
    """One process of the agent, as far as its configuration goes."""

    def __init__(self, disk: FaultyDisk, file: Path, clock: FakeClock | None = None) -> None:
        self.disk, self.clock = disk, clock or FakeClock()
        self.boot = Booting(file, Generations(FOLDER, disk), self.clock, loaders(disk))
        self.records = Records()
        log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(50))
        self.seams = Seams(self.clock, disk, SystemNetwork(), random.Random(1), Events(log))
        self.validate = fine
        self.limits: Callable[[], Limits] = Limits
        self.live = ScriptedLive(loaded_of(""), self.clock)
        self.rollout: Rollout = cast("Rollout", None)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Start; give the text of what runs."""
        loaded = self.boot.start()
        self.live = ScriptedLive(loaded, self.clock)
        self.rollout = Rollout(
            self.boot, self.live, self.records, self.seams, self.validate, self.limits
        )
        self._task = asyncio.create_task(self.rollout.run(), name="rollout")
        return text_of(loaded)

    async def stop(self) -> None:
        """End as a killed process does: nothing is written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()

    async def offer(self, text: str, offer_id: str = "") -> int:
        """Offer this configuration, as root."""
        contents = {MAIN: text.encode()}

        async def content(sha256: bytes) -> bytes:
            return next(c for f, c in zip(described(contents), contents.values(), strict=True)
                        if f.sha256 == sha256)  # fmt: skip

        return await self.rollout.offer(
            Offer(described(contents), content, offer_id or f"offer of {text}", "local", "uid:0")
        )

    async def until(self, condition: Callable[[], object], most: int = 400) -> None:
        """Let time pass until `condition`; AssertionError if it never comes."""
        for _ in range(most):
            if condition():
                return
            for _ in range(5):
                await asyncio.sleep(0.0005)  # what blocks is on threads of its own
            await self.clock.advance(0.5)
        raise AssertionError([a.phase for a in self.rollout.attempts()])

    async def ended(self, id_: int) -> Attempt:
        """Wait until an attempt has ended; give it."""

        def there() -> bool:
            found = self.attempt(id_)
            return found is not None and found.phase.ended

        await self.until(there)
        async with self.rollout._trying.turn:  # noqa: SLF001 - what is noted is done by then
            found = self.attempt(id_)
        assert found is not None
        return found

    def attempt(self, id_: int) -> Attempt | None:
        """Give an attempt as it is now."""
        return next((a for a in self.rollout.attempts() if a.id == id_), None)

    @property
    def runs(self) -> str:
        """The text of what runs."""
        return text_of(self.live.loaded)
