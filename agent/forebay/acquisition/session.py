"""One device's life.

Connect, poll on a grid that never drifts, listen, notice loss, wait, connect again; until the agent
stops.

Owns schedule, deadlines, reconnection and the quality of what could not be read. Must not know
protocols (its driver does) or what becomes of a batch (its intake does). The one mechanism for all
drivers.

Two tasks share a link: `connect` keeps it up, `poll` uses it. The poller never stops: while there
is no link, every due poll gives a row whose quality says why, so that an outage is data and not
silence.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from forebay.acquisition.plan import PROBE_EVERY, Learned, plan, probe, refine
from forebay.acquisition.schedule import next_due_s, phase_s
from forebay.errors import DeviceError, DeviceUnreachable, JournalError, ProtocolViolation
from forebay.events import (
    DEVICE_CONNECTED,
    DEVICE_LOST,
    FRAME_REFUSED,
    POLL_OVERRUN,
    SESSION_FAILED,
    TAGS_REFUSED,
)
from forebay.model import Batch, Quality

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.acquisition.plan import Plan
    from forebay.interfaces import (
        DeviceSpec,
        Driver,
        Intake,
        PolledDriver,
        Reader,
        Scan,
        Seams,
        StreamedDriver,
    )
    from forebay.model import Schema

CLOSE_S = 5.0
"""How long a driver may take to give up a connection before it is left behind."""
SCANS_PER_POLL = 20
"""Most scans in one poll that is cut anew: enough to single out tags among 125 registers."""
NAMES_TOLD = 20
"""How many tag names one log line holds."""


@dataclass(slots=True)
class SessionStatus:
    """What `forebay devices` shows of one session. `state` is connecting, connected or waiting."""

    state: str = "connecting"
    polls: int = 0
    overruns: int = 0
    connections: int = 0
    last_poll_ms: float = 0.0
    last_data_ns: int = 0
    last_error: str = ""
    last_hint: str = ""
    next_try_at_s: float = 0.0


@dataclass(slots=True)
class _Group:
    """One polled group: its schema, its grid and its plan."""

    schema: Schema
    period_s: float
    due_s: float = 0.0
    learned: Learned = field(default_factory=Learned)
    plan: Plan | None = None
    polls: int = 0
    overrunning: bool = False


class Session:
    """Owns one driver."""

    def __init__(
        self,
        spec: DeviceSpec,
        build: Callable[[DeviceSpec, Seams], Driver],
        intake: Intake,
        seams: Seams,
        *,
        number: int = 0,
    ) -> None:
        """Drive the driver that `build` makes.

        `number` staggers this session's polls against those of others.
        """
        self.spec, self.status = spec, SessionStatus()
        self._build, self._intake, self._seams, self._clock = build, intake, seams, seams.clock
        self._number = number
        groups = spec.settings.groups
        self._polled = [
            _Group(s, groups[s.group].period)
            for s in spec.schemas
            if groups[s.group].mode == "poll"
        ]
        self._streamed = {
            s: groups[s.group].period for s in spec.schemas if groups[s.group].mode == "subscribe"
        }
        self._driver: Driver | None = None
        self._readers: dict[int, Reader] = {}
        self._link_lost: asyncio.Future[DeviceError] | None = None
        self._tried = asyncio.Event()
        self._status_code = int(Quality.BAD_NOT_CONNECTED)

    @property
    def name(self) -> str:
        """The device's name."""
        return self.spec.name

    async def run(self) -> None:
        """Serve the device until cancelled.

        Raises only JournalError: everything a driver does wrong is contained here.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_connected(), name=f"session[{self.name}].connect")
            if self._polled:
                tasks.create_task(self._poll(), name=f"session[{self.name}].poll")

    # --- the link ---------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        tries = 0
        while True:
            self.status.state = "connecting"
            connections = self.status.connections
            error = await self._connection()
            await self._note_loss(
                error, was_up=self.status.connections > connections, first_try=tries == 0
            )
            tries = 1 if self.status.connections > connections else tries + 1
            wait_s = self.spec.settings.backoff.wait_s(tries, self._seams.rng.random())
            self.status.state, self.status.next_try_at_s = (
                "waiting",
                self._clock.monotonic_s() + wait_s,
            )
            await self._clock.sleep(wait_s)

    async def _connection(self) -> DeviceError:
        """Make one connection, serve it, and give what ended it."""
        driver: Driver | None = None
        try:
            driver = self._build(self.spec, self._seams)
            async with asyncio.timeout(self.spec.settings.timeout):
                await driver.connect()
            return await self._serve(driver)
        except DeviceError as error:
            return error
        except TimeoutError:
            return DeviceUnreachable(
                f"no connection within {self.spec.settings.timeout:g} s",
                hint="check address, cable and firewall",
                status=Quality.BAD_TIMEOUT,
            )
        except JournalError:
            raise
        except Exception as fault:  # noqa: BLE001 - the supervisor: a faulty driver must not take the agent down
            return self._contained(fault)
        finally:
            self._driver, self._readers, self._link_lost = None, {}, None
            self._tried.set()
            if driver is not None:
                await self._close(driver)

    async def _serve(self, driver: Driver) -> DeviceError:
        """Compile the readers, tell the poller, and stay until the link is lost."""
        self._compile(driver)
        lost: asyncio.Future[DeviceError] = asyncio.get_running_loop().create_future()
        self._link_lost = lost
        self._driver = driver
        self.status.state, self.status.last_error, self.status.last_hint = "connected", "", ""
        self.status.connections += 1
        self._tried.set()
        self._seams.events.emit(DEVICE_CONNECTED, device=self.name)
        if not self._streamed:
            return await lost
        listener = asyncio.create_task(
            self._listen(cast("StreamedDriver", driver)), name=f"session[{self.name}].listen"
        )
        try:
            await asyncio.wait([listener, lost], return_when=asyncio.FIRST_COMPLETED)
            return lost.result() if lost.done() else await listener
        finally:
            listener.cancel()
            await asyncio.wait([listener])

    async def _listen(self, driver: StreamedDriver) -> DeviceError:
        async for batch in driver.stream(self._streamed):
            self.status.last_data_ns = self._clock.now_ns()
            await self._intake.accept(batch)
        return DeviceUnreachable(
            "the device ended its stream",
            hint="see the device's own log",
            status=Quality.BAD_NO_COMMUNICATION,
        )

    def _contained(self, fault: Exception) -> DeviceError:
        """Turn what a driver should not have raised into the loss of its connection."""
        self._seams.events.emit(SESSION_FAILED, device=self.name, error=repr(fault))
        return DeviceUnreachable(
            f"the driver failed: {fault!r}",
            hint="report this as a fault of the driver",
            status=Quality.BAD_DEVICE_FAILURE,
        )

    async def _close(self, driver: Driver) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await driver.close()
        except Exception as error:  # noqa: BLE001 - the supervisor: giving up must never be what stops the session
            self._seams.events.emit(SESSION_FAILED, device=self.name, error=repr(error))

    async def _note_loss(self, error: DeviceError, *, was_up: bool, first_try: bool) -> None:
        """Tell of the transition, not of each further try, and mark what was subscribed to."""
        self._status_code = error.status
        self.status.last_error, self.status.last_hint = str(error), error.hint
        if isinstance(error, ProtocolViolation):
            self._seams.events.emit(
                FRAME_REFUSED, device=self.name, error=str(error), hint=error.hint
            )
        if was_up or first_try:
            self._seams.events.emit(
                DEVICE_LOST, device=self.name, error=str(error), hint=error.hint
            )
            for schema in self._streamed:
                await self._intake.accept(bad_row(schema, error.status, self._clock.now_ns()))

    # --- polling ----------------------------------------------------------------------------------

    async def _poll(self) -> None:
        await self._tried.wait()
        begin_s = self._clock.monotonic_s()
        for offset, group in enumerate(self._polled):
            group.due_s = begin_s + phase_s(self._number + offset, group.period_s)
        while True:
            group = min(self._polled, key=lambda g: g.due_s)
            await self._clock.sleep(group.due_s - self._clock.monotonic_s())
            await self._intake.accept(await self._row(group))
            self.status.polls += 1
            group.due_s, missed = next_due_s(group.due_s, group.period_s, self._clock.monotonic_s())
            self._note_overrun(group, missed)

    def _note_overrun(self, group: _Group, missed: int) -> None:
        self.status.overruns += missed
        if missed and not group.overrunning:
            self._seams.events.emit(
                POLL_OVERRUN,
                device=self.name,
                group=group.schema.group,
                period_s=group.period_s,
                missed=missed,
                hint="lengthen the period or ask for fewer tags",
            )
        group.overrunning = missed > 0

    async def _row(self, group: _Group) -> Batch:
        """Give one row for one due time: read, or bad if there is no reading."""
        began_ns = self._clock.now_ns()
        reader = self._readers.get(group.schema.id)
        if reader is None:
            return bad_row(group.schema, self._status_code, began_ns)
        try:
            began_s = self._clock.monotonic_s()
            batch = await self._read(group, reader)
            self.status.last_poll_ms = (self._clock.monotonic_s() - began_s) * 1e3
            self.status.last_data_ns = self._clock.now_ns()
        except DeviceError as error:
            return self._broken(group, error, began_ns)
        except TimeoutError:
            late = DeviceUnreachable(
                "the poll took longer than its deadline",
                hint="check the line, or raise `timeout`",
                status=Quality.BAD_TIMEOUT,
            )
            return self._broken(group, late, began_ns)
        except Exception as fault:  # noqa: BLE001 - the supervisor: a faulty driver must not stop the poller
            return self._broken(group, self._contained(fault), began_ns)
        return batch

    async def _read(self, group: _Group, reader: Reader) -> Batch:
        """Read once; where the device refuses a block, cut it anew and ask again in this period."""
        give_up_s = self._clock.monotonic_s() + group.period_s
        group.polls += 1
        if group.plan is not None and group.polls % PROBE_EVERY == 0:
            reader = self._replan(group, probe(group.learned)) or reader
        tries = 0
        while True:
            asked, scan = group.plan, await self._scan(group, reader)
            if asked is None:
                return scan.batch
            reader = self._replan(group, self._learn(group, scan)) or reader
            torn = any(r.permanent and len(asked.units[r.block]) > 1 for r in scan.refusals)
            tries += 1
            if not torn or tries == SCANS_PER_POLL or self._clock.monotonic_s() >= give_up_s:
                return mark(scan.batch, asked.refused)

    async def _scan(self, group: _Group, reader: Reader) -> Scan:
        """Read under a deadline that only a driver without deadlines of its own can reach."""
        blocks = len(group.plan.blocks) if group.plan else 0
        async with asyncio.timeout(self.spec.settings.timeout * (blocks + 1)):
            return await reader.read()

    def _learn(self, group: _Group, scan: Scan) -> Learned:
        """Give what is known after a scan, and tell of tags that are now known to be refused."""
        if group.plan is None:
            return group.learned
        learned = refine(group.plan, scan.refusals, group.learned)
        refused = sorted(learned.refused_columns - group.learned.refused_columns)
        if refused:
            names = [group.schema.tags[column].name for column in refused[:NAMES_TOLD]]
            self._seams.events.emit(
                TAGS_REFUSED,
                device=self.name,
                count=len(refused),
                tags=names,
                error=next(r.message for r in scan.refusals if r.permanent),
                hint="check the addresses against the device's manual",
            )
        return learned

    def _replan(self, group: _Group, learned: Learned) -> Reader | None:
        """Take over what was learned; give the new reader if that changes the plan."""
        if learned is group.learned:
            return None
        group.learned = learned
        return self._reader(group)

    def _compile(self, driver: Driver) -> None:
        self._driver = driver
        self._readers = {group.schema.id: self._reader(group) for group in self._polled}

    def _reader(self, group: _Group) -> Reader:
        """Plan the group by what is known now and compile the plan."""
        driver = cast("PolledDriver", self._driver)
        spans = driver.spans(group.schema)
        group.plan = None if spans is None else plan(spans, driver.limits, group.learned)
        reader = driver.reader(group.schema, group.plan.blocks if group.plan else ())
        self._readers[group.schema.id] = reader
        return reader

    def _broken(self, group: _Group, error: DeviceError, began_ns: int) -> Batch:
        """End the link and give the row that says so."""
        self._status_code = error.status
        self._readers = {}
        if self._link_lost is not None and not self._link_lost.done():
            self._link_lost.set_result(error)
        return bad_row(group.schema, error.status, began_ns)


def mark(batch: Batch, refused: Sequence[tuple[int, int]]) -> Batch:
    """Give `batch`, a dense row, with the qualities of columns that were not asked for."""
    if not refused or batch.index is not None:
        return batch
    quality = (
        np.zeros((1, len(batch.schema.tags)), np.uint32)
        if batch.quality is None
        else batch.quality.copy()
    )
    for column, status in refused:
        quality[0, column] = status
    return replace(batch, quality=quality)


def bad_row(schema: Schema, status: int, time_ns: int) -> Batch:
    """Give a dense row without values, every quality `status`."""
    return Batch(
        schema,
        np.array([time_ns], np.int64),
        np.array([time_ns], np.int64),
        tuple(
            np.full((1, len(lane.columns)), "", object)
            if lane.type.dtype == object
            else np.zeros((1, len(lane.columns)), lane.type.dtype)
            for lane in schema.lanes
        ),
        np.full((1, len(schema.tags)), status, np.uint32),
    )
