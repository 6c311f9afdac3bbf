"""A plugin that behaves as asked, a feed of set windows, and a host that brings them together."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forebay.model import ValueType
from forebay.pluginhost.circuit import Budget
from forebay.pluginhost.host import PluginHost
from forebay.pluginhost.manifest import Manifest
from forebay.pluginhost.seams import Cut, Input, Range, Series, Verdict, Window, Work
from forebay.pluginhost.settings import Instance, PluginSettings, combine
from forebay.settings import BackoffSettings
from support.seams import system_seams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from forebay.errors import Fault
    from forebay.interfaces import Seams
    from forebay.pluginhost.seams import Output, Results

SOURCE = Path(__file__).with_name("odd_plugin.py")
QUICK = Budget(failures=4, within_s=60.0, cool_s=1.5, backoff=BackoffSettings(first=0.05, most=0.2))
"""A budget with which a test need not wait."""
LIMITS: Mapping[str, Any] = {"deadline": 20.0, "start_timeout": 60.0}
"""Wide, so that a busy machine trips none; a test narrows the one that it is about."""


def odd(
    directory: Path,
    manner: str,
    limits: Mapping[str, Any] | None = None,
    plugin: Mapping[str, Any] | None = None,
    name: str = "odd",
    **settings: Any,
) -> Instance:
    """Put the odd plugin into `directory` and give its instance."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    shutil.copy(SOURCE, directory / SOURCE.name)
    (directory / "manner").write_text(manner, encoding="utf-8")
    manifest = Manifest.model_validate(
        {
            "plugin": {
                "name": "odd",
                "version": "1.0",
                "command": ["{python}", "{dir}/odd_plugin.py"],
                **(plugin or {}),
            },
            "inputs": {"values": {"tags": ["pump/*"]}},
            "window": {"rows": 4},
            "outputs": {"total": {}},
            "limits": {**LIMITS, **(limits or {})},
        }
    )
    faults: list[Fault] = []
    given = PluginSettings.model_validate(settings)
    instance = combine(name, given, manifest, directory, faults)
    assert instance is not None, faults
    return instance


def work(first: int, windows: int, values: Mapping[int, float]) -> Work:
    """Give a work of `windows` windows of four rows; row r holds r, or what `values` says."""
    rows = range(first * 4, (first + windows) * 4)
    column = np.array([values.get(row, float(row)) for row in rows])
    axis = np.array(rows, np.int64) * 1_000_000
    return Work(
        [axis],
        [Series(0, 0, column)],
        Cut.of(
            [
                Window(first + n, int(axis[4 * n]), int(axis[4 * n + 3]) + 1, (Range(4 * n, 4),))
                for n in range(windows)
            ]
        ),
        mark=first + windows,
    )


def piece(whole: Work, window: Window) -> Work:
    """Give one window of a work as a work."""
    first, rows = window.ranges[0]
    span = slice(first, first + rows)
    alone = window._replace(ranges=(Range(0, rows),))
    series = Series(0, 0, whole.series[0].values[span])
    return Work([whole.axes[0][span]], [series], Cut.of([alone]), mark=window.number + 1)


class SetFeed:
    """Windows of set numbers, which keeps account of how each ended.

    `total` windows are there, in works of `batch`; a new feed goes on behind `cursor`.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        cursor: list[int],
        total: int = 1 << 30,
        batch: int = 4,
        values: Mapping[int, float] | None = None,
        *,
        ends: bool = False,
    ) -> None:
        self.outputs, self.cursor, self.total, self.batch = outputs, cursor, total, batch
        self.values, self.ends = values or {}, ends
        self.changed = asyncio.Event()
        self.tags = [Input("values", "pump/flow", ValueType.FLOAT64)]
        self.sums: dict[int, float] = {}
        self.refused: list[str] = []
        self.gone: dict[int, str] = {}
        self.open: list[Work] = []
        self.closed = False
        self.more = asyncio.Event()
        self._next: int | None = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    def inputs(self) -> Sequence[Input]:
        self.changed.clear()
        return list(self.tags)

    async def next(self) -> Work | None:
        if self._next is None:
            self._next = self.cursor[0]
        while self._next >= self.total:
            if self.ends:
                return None
            self.more.clear()
            await self.more.wait()
        made = work(self._next, min(self.batch, self.total - self._next), self.values)
        self._next += len(made.windows)
        self.open.append(made)
        return made

    async def done(self, work: Work, results: Results) -> Verdict:
        self._end(work)
        refused: dict[str, int] = {}
        for column in results.columns:
            for place, value in zip(column.windows.tolist(), column.values.tolist(), strict=True):
                if np.isfinite(value):
                    self.sums[work.windows.first + place] = value
                else:
                    refused["not finite"] = refused.get("not finite", 0) + 1
        return Verdict(samples=len(work.windows) - sum(refused.values()), refused=refused)

    async def passed(self, work: Work, reason: str) -> None:
        self._end(work)
        self.gone |= {window.number: reason for window in work.windows}

    def split(self, work: Work) -> Sequence[Work]:
        self.open.remove(work)
        pieces = [piece(work, window) for window in work.windows]
        self.open = [*pieces, *self.open]
        return pieces

    async def close(self) -> None:
        self.closed = True

    def _end(self, work: Work) -> None:
        assert not self.closed
        assert self.open, "ended what was not given"
        assert self.open[0] is work, "ended out of order"
        del self.open[0]
        assert isinstance(work.mark, int)
        self.cursor[0] = work.mark


class Bench:
    """One host with its feeds, in `directory`."""

    def __init__(
        self, directory: Path, instance: Instance, seams: Seams | None = None, **feed: Any
    ) -> None:
        self.seams, self.cursor = seams or system_seams(), [0]
        self.feeds: list[SetFeed] = []

        def make(given: Instance) -> SetFeed:
            self.feeds.append(SetFeed(given.outputs, self.cursor, **feed))
            return self.feeds[-1]

        self.host = PluginHost(instance, make, self.seams, directory / "plugins/odd", QUICK)
        self.task: asyncio.Task[None] | None = None

    @property
    def feed(self) -> SetFeed:
        """The newest feed."""
        return self.feeds[-1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PluginHost]:
        """Run the host while entered; that it fails is an error."""
        self.task = asyncio.create_task(self.host.run(), name="plugin[odd]")
        try:
            yield self.host
            if self.task.done():
                self.task.result()
        finally:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, true: Callable[[], object], timeout_s: float = 60.0) -> None:
        """Wait until `true`; AssertionError with the plugin's log if that takes too long."""
        try:
            async with asyncio.timeout(timeout_s):
                while not true():
                    assert self.task is not None
                    if self.task.done():
                        self.task.result()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError((self.host.status(), self.host.printed(20))) from None


def sums(feed: SetFeed, windows: int) -> dict[int, float]:
    """Give what the good manner answers for the first `windows` windows."""
    return {
        number: sum(feed.values.get(row, float(row)) for row in range(number * 4, number * 4 + 4))
        for number in range(windows)
    }
