"""One device's life: connect, read, notice loss, wait, connect again; until the agent stops.

Owns reconnection and its deadlines. Must not know protocols (its driver does), schedules (its
poller does) or what becomes of a batch (its intake does). The one mechanism for all drivers.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from forebay.acquisition.link import Link
from forebay.acquisition.news import TagNews
from forebay.acquisition.operations import Operations
from forebay.acquisition.poller import Poller
from forebay.acquisition.rows import bad_row, good_samples
from forebay.acquisition.status import SessionStatus
from forebay.acquisition.wires import alone
from forebay.cancellation import strict
from forebay.clock import stamp
from forebay.errors import (
    DeviceError,
    DeviceUnreachable,
    JournalError,
    JournalFull,
    ProtocolViolation,
)
from forebay.events import FRAME_REFUSED, SESSION_FAILED
from forebay.interfaces import DurableDriver
from forebay.model import Quality, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forebay.acquisition.line import SharedLine
    from forebay.acquisition.memory import Recollection
    from forebay.acquisition.planned import PlannedGroup
    from forebay.acquisition.standstill import Pulse
    from forebay.acquisition.wires import Place
    from forebay.interfaces import (
        DeviceSpec,
        Driver,
        Intake,
        Line,
        PolledDriver,
        Seams,
        StreamedDriver,
    )
    from forebay.model import Batch

ROOM_WAIT_S = 1.0
"""How long what must become durable waits for room in the journal before it is tried again."""
CLOSE_S = 5.0
"""How long a driver may take to give up a connection before it is left behind."""


class Session:
    """Owns one driver."""

    def __init__(
        self,
        spec: DeviceSpec,
        build: Callable[[DeviceSpec, Seams, Line], Driver],
        line: SharedLine,
        intake: Intake,
        seams: Seams,
        pulse: Pulse,
        *,
        place: Place | None = None,
    ) -> None:
        """Drive the driver that `build` makes, over `line`, where it has `place`.

        Without one it is the only device of its line. `pulse` is the whole process's.
        """
        self.spec, self.status = spec, SessionStatus()
        self._build, self._intake, self._seams, self._clock = build, intake, seams, seams.clock
        self.line, self._place = line, place or alone(spec, line, seams)
        self.news = self._place.news
        self._tags = TagNews(spec.name, spec.schemas, seams)
        self._link = Link(self._tell_connected, self._contained)
        self.operations = Operations(spec, self._link, line, seams)
        """What the device is given to do beside its polls."""
        self._lost = False
        self._driver: Driver | None = None
        self._poller = Poller(spec, self._link, line, intake, seams, self.status, pulse, self._tags)
        groups = spec.settings.groups
        self._streamed = {
            s: groups[s.group].period for s in spec.schemas if groups[s.group].mode == "subscribe"
        }

    @property
    def driver(self) -> Driver | None:
        """The driver while it is connected, for what a person asks of the device itself."""
        return self._driver

    @property
    def name(self) -> str:
        """The device's name."""
        return self.spec.name

    @property
    def planned(self) -> Sequence[PlannedGroup]:
        """The polled groups, each with its plan."""
        return self._poller.planned

    def remember(self, memory: Recollection) -> None:
        """Keep what the device teaches in `memory`; to be called before `run`."""
        self._poller.remember(memory)

    async def run(self) -> None:
        """Serve the device until cancelled.

        Raises only JournalError: everything a driver does wrong is contained here.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_connected(), name=f"session[{self.name}].connect")
            tasks.create_task(self._tags.run(), name=f"session[{self.name}].news")
            if not self.news.shared:
                tasks.create_task(self.news.run(), name=f"session[{self.name}].link-news")
            for number, group in enumerate(self._poller.planned):
                poll = self._poller.run(number, self._place.stagger)
                name = f"session[{self.name}].poll[{group.schema.group}]"
                tasks.create_task(poll, name=name)

    async def _keep_connected(self) -> None:
        """Connect for ever. Only a connection that brought data starts the back-off anew."""
        failures = 0
        while True:
            self.status.state = "connecting"
            connections, data_ns = self.status.connections, self.status.last_data_ns
            error = await self._connection()
            await self._note_loss(error, was_up=self.status.connections > connections)
            failures = 1 if self.status.last_data_ns != data_ns else failures + 1
            wait_s = self.spec.settings.backoff.wait_s(failures, self._seams.rng.random())
            self.status.state = "waiting"
            self.status.next_try_at_s = self._clock.monotonic_s() + wait_s
            await self._clock.sleep(wait_s)

    async def _connection(self) -> DeviceError:
        """Make one connection, serve it, and give what ended it."""
        driver: Driver | None = None
        try:
            driver = self._build(self.spec, self._seams, self.line)
            async with self.line.limit(self.spec.settings.timeout):
                await strict(driver.connect)
            self._driver = driver
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
            self._driver = None
            self.operations.disconnected()
            self._poller.disconnected()
            self._link.down()
            if driver is not None:
                await self._close(driver)

    async def _serve(self, driver: Driver) -> DeviceError:
        """Compile the readers, tell the poller, and stay until the link is lost."""
        if self._poller.has_work:
            self._poller.connected(cast("PolledDriver", driver))
        self.operations.connected(driver)
        lost = self._link.up()
        self.status.state, self.status.last_error, self.status.last_hint = "connected", "", ""
        self.status.connections += 1
        if not self._streamed and not getattr(driver, "listens", False):
            return await lost
        self._link.prove()  # to have been subscribed to is all that a silent device can show
        listener = asyncio.create_task(
            strict(self._listen, cast("StreamedDriver", driver)),
            name=f"session[{self.name}].listen",
        )
        try:
            await asyncio.wait([listener, lost], return_when=asyncio.FIRST_COMPLETED)
            return lost.result() if lost.done() else await listener
        finally:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _commit(self, batch: Batch) -> None:
        """Wait until `batch` is durable, and before that until there is room for it."""
        while True:
            try:
                return await self._intake.commit(batch)
            except JournalFull:
                await self._clock.sleep(ROOM_WAIT_S)

    async def _listen(self, driver: StreamedDriver) -> DeviceError:
        durable = isinstance(driver, DurableDriver) and driver.durable
        take = self._commit if durable else self._intake.accept
        async for batch in driver.stream(self._streamed):
            self.status.last_data_ns = self._clock.now_ns()
            if batch.stream is Stream.TELEMETRY:
                self._tags.read(batch)
                self.status.good(good_samples(batch), self._clock.monotonic_s())
            await take(batch)
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
                await strict(driver.close)
        except Exception as error:  # noqa: BLE001 - the supervisor: giving up must never be what stops the session
            self._seams.events.emit(SESSION_FAILED, device=self.name, error=repr(error))

    def _tell_connected(self) -> None:
        """Tell of the transition: that a connection brings data, not that there is one."""
        self.news.back(self.name)

    async def _note_loss(self, error: DeviceError, *, was_up: bool) -> None:
        """Tell of the transition, not of each further try, and mark what was subscribed to."""
        self._link.status = error.status
        self.status.last_error, self.status.last_hint = str(error), error.hint
        if isinstance(error, ProtocolViolation):
            fields = {"device": self.name, "error": str(error), "hint": error.hint}
            self._seams.events.emit(FRAME_REFUSED, **fields)
        self.news.lost(self.name, error)
        if was_up or not self._lost:
            self._lost = True
            for schema in self._streamed:
                await self._intake.accept(bad_row(schema, error.status, stamp(self._clock)))
