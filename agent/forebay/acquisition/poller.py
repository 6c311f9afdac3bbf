"""The polled half of a session: an exact grid, one row for each due time, plans that learn.

Owns when groups are read and what a row says when there is no reading. Must not know protocols, nor
how the link is kept up. It never stops: while there is no link, every due poll gives a row whose
quality says why, so that an outage is data and not silence. Each group has a task of its own and
takes the line's turn by its own deadline, so that a slow group lets a fast one of its device in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from forebay.acquisition.planned import PlannedGroup
from forebay.acquisition.rows import bad_row, good_samples, mark, slowed, torn
from forebay.acquisition.schedule import Pace, first_s, next_due_s
from forebay.cancellation import strict
from forebay.clock import stamp
from forebay.errors import DeviceError, DeviceUnreachable
from forebay.events import POLL_OVERRUN
from forebay.interfaces import Urgency
from forebay.model import Gap, GapCause, Quality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forebay.acquisition.line import SharedLine
    from forebay.acquisition.link import Link
    from forebay.acquisition.memory import Recollection
    from forebay.acquisition.news import TagNews
    from forebay.acquisition.schedule import Stagger
    from forebay.acquisition.standstill import Pulse
    from forebay.acquisition.status import SessionStatus
    from forebay.interfaces import DeviceSpec, Intake, PolledDriver, Reader, Scan, Seams
    from forebay.model import Batch

SCANS_PER_POLL = 20
"""Most scans in one poll that is cut anew: enough to single out tags among 125 registers."""
SEARCH_S = 3.0
"""How long such a poll may take, if that is longer than its period: being late once costs less than
rows whose good neighbours are bad."""


@dataclass(slots=True)
class _Group:
    """One polled group: its plan and its grid.

    It is polled when `wakes_s` has come, for the period that begins at `due_s`; periods that went
    by before its turn on the line came are `unserved`.
    """

    planned: PlannedGroup
    period_s: float
    due_s: float = 0.0
    wakes_s: float = 0.0
    unserved: int = 0
    overrunning: bool = False
    pace: Pace = field(default_factory=Pace)

    def readable(self) -> bool:
        """Whether there is a connection."""
        return self.planned.reader is not None

    def ends_s(self) -> float:
        """When the period is over that it is polled for."""
        return self.due_s + self.period_s

    def catch_up(self, now_s: float) -> None:
        """Go on to the period of this moment: a reading belongs to the one in which it begins."""
        following_s, passed = next_due_s(self.due_s, self.period_s, now_s)
        if passed:
            self.due_s, self.unserved = following_s - self.period_s, self.unserved + passed


class Poller:
    """Polls the groups of one device.

    `run` each group in a task; `connected` and `disconnected` from beside.
    """

    def __init__(
        self,
        spec: DeviceSpec,
        link: Link,
        line: SharedLine,
        intake: Intake,
        seams: Seams,
        status: SessionStatus,
        pulse: Pulse,
        news: TagNews,
    ) -> None:
        """Poll what `spec` polls; `news` hears of the qualities that the device gives."""
        self._spec, self._link, self._line = spec, link, line
        self._intake, self._seams = intake, seams
        self._clock, self._status = seams.clock, status
        groups = spec.settings.groups
        self._groups = [
            _Group(PlannedGroup(schema, news.refused), groups[schema.group].period)
            for schema in spec.schemas
            if groups[schema.group].mode == "poll"
        ]
        self._news, self._connection = news, 0
        self._pulse, self._still, self._stood_until_s = pulse, pulse.count, 0.0

    @property
    def planned(self) -> Sequence[PlannedGroup]:
        """The polled groups, each with its plan."""
        return [group.planned for group in self._groups]

    def remember(self, memory: Recollection) -> None:
        """Keep what the device teaches in `memory`; to be called before the first connection."""
        for group in self._groups:
            group.planned.memory = memory

    @property
    def has_work(self) -> bool:
        """Whether any group is polled."""
        return bool(self._groups)

    def connected(self, driver: PolledDriver) -> None:
        """Compile every group's reader on a new connection. Raises what the driver raises."""
        self._connection += 1
        for group in self._groups:
            group.planned.connected(driver)

    def disconnected(self) -> None:
        """Forget the readers: they belong to a connection that is gone."""
        for group in self._groups:
            group.planned.disconnected()

    async def run(self, number: int, stagger: Stagger) -> None:
        """Poll the group that is `number` in `planned`, until cancelled.

        `stagger` says where this device's polls lie among all others.
        """
        group = self._groups[number]
        await self._link.tried.wait()
        begin_s = self._clock.monotonic_s()
        group.wakes_s, group.due_s = first_s(stagger.phase(number), group.period_s, begin_s)
        while True:
            await self._clock.sleep(group.wakes_s - self._clock.monotonic_s())
            self._account_for_standstill()
            due_s, early = group.due_s, group.wakes_s > group.due_s
            await self._intake.accept(await self._row(group))
            self._status.polls += 1
            self._account_for_standstill()
            group.due_s, missed = next_due_s(group.due_s, group.period_s, self._clock.monotonic_s())
            missed, group.unserved = missed + group.unserved, 0
            group.wakes_s = group.due_s
            if due_s < self._stood_until_s or early:
                missed = 0  # nobody should lengthen a period for that
            self._note_overrun(group, missed)

    def _account_for_standstill(self) -> None:
        """Say what was not polled because nothing ran, if that was as long as a period.

        A poll that only came late needs no account, and one that waited in the middle of a
        standstill gave its row before the gap.
        """
        self._pulse.beat()
        if self._pulse.count == self._still:
            return
        offset_ns = self._clock.read().offset_ns
        for still in self._pulse.since(self._still):
            if still.lasted_s >= min(group.period_s for group in self._groups):
                begin_ns, end_ns = still.from_ns + offset_ns, still.to_ns + offset_ns
                gap = Gap(GapCause.NOT_POLLED, begin_ns, end_ns, 0, self._spec.name)
                self._intake.account(gap)
        self._still, self._stood_until_s = self._pulse.count, self._clock.monotonic_s()

    def _note_overrun(self, group: _Group, missed: int) -> None:
        group.pace.note(late=missed > 0)
        self._status.overruns += missed
        if missed and not group.overrunning:
            self._seams.events.emit(
                POLL_OVERRUN,
                device=self._spec.name,
                group=group.planned.schema.group,
                period_s=group.period_s,
                missed=missed,
                hint="lengthen the period or ask for fewer tags",
            )
        group.overrunning = missed > 0
        self._status.overrunning = any(group.overrunning for group in self._groups)

    async def _row(self, group: _Group) -> Batch:
        """Give one row for one due time: read, or bad if there is no reading."""
        if not group.readable():
            return bad_row(group.planned.schema, self._link.status, stamp(self._clock))
        began_ns, connection = self._clock.boottime_ns(), self._connection
        try:
            async with self._line.turn(Urgency.POLL, group.ends_s()):
                began_ns, began_s = self._clock.boottime_ns(), self._clock.monotonic_s()
                group.catch_up(began_s)
                if not group.readable():  # the link was lost before the turn came
                    return bad_row(group.planned.schema, self._link.status, stamp(self._clock))
                scan, settled = await self._read(group)
                self._status.last_poll_ms = (self._clock.monotonic_s() - began_s) * 1e3
            group.planned.prepare()
        except DeviceError as error:
            return self._broken(group, error, began_ns, connection)
        except TimeoutError:
            late = DeviceUnreachable(
                "the poll took longer than its deadline",
                hint="check the line, or raise `timeout`",
                status=Quality.BAD_TIMEOUT,
            )
            return self._broken(group, late, began_ns, connection)
        except Exception as fault:  # noqa: BLE001 - the supervisor: a faulty driver must not stop the poller
            return self._broken(group, self._link.contained(fault), began_ns, connection)
        if self._is_of_now(group, connection):
            self._status.last_data_ns = self._clock.now_ns()
            self._status.good(good_samples(scan.batch), self._clock.monotonic_s())
            self._link.prove()
        if settled:
            planned = group.planned.plan is not None
            self._news.read(scan.batch, scan.refusals, planned=planned)
        return slowed(scan.batch) if group.pace.overloaded else scan.batch

    async def _read(self, group: _Group) -> tuple[Scan, bool]:
        """Read once; where the device refuses a block, cut it anew and ask again in the same poll.

        Gives also whether it is clear by now what the device refuses.
        """
        give_up_s = self._clock.monotonic_s() + max(group.period_s, SEARCH_S)
        planned = group.planned
        reader, tries = planned.reader, 0
        while True:
            reader = planned.reader or reader
            assert reader is not None
            asked, scan = planned.plan, await self._scan(group, reader)
            if asked is None:
                return scan, True
            if planned.plan is not asked:  # connected anew meanwhile: it says nothing of this plan
                return replace(scan, batch=mark(scan.batch, asked.refused)), False
            cut_anew = planned.learn(scan)
            tries += 1
            if not cut_anew or tries == SCANS_PER_POLL or self._clock.monotonic_s() >= give_up_s:
                return replace(scan, batch=mark(scan.batch, asked.refused)), not cut_anew

    async def _scan(self, group: _Group, reader: Reader) -> Scan:
        """Read under a deadline that only a driver without deadlines of its own can reach.

        If it took longer than the period the row says so, whether the device was slow or others
        had the line in the middle of it, which counts for no deadline.
        """
        blocks = len(group.planned.plan.blocks) if group.planned.plan else 0
        began_ns = self._clock.boottime_ns()
        async with self._line.limit(self._spec.settings.timeout * (blocks + 1)):
            scan = await strict(reader.read)
        if self._clock.boottime_ns() - began_ns > group.period_s * 1e9:
            return replace(scan, batch=torn(scan.batch))
        return scan

    def _is_of_now(self, group: _Group, connection: int) -> bool:
        """Whether `connection` is the present one; another group may have ended it meanwhile."""
        return connection == self._connection and group.readable()

    def _broken(self, group: _Group, error: DeviceError, began_ns: int, connection: int) -> Batch:
        """End the link, unless it is another by now, and give the row that says so.

        `began_ns` is boot time.
        """
        if self._is_of_now(group, connection):
            self.disconnected()
            self._link.fail(error)
        return bad_row(group.planned.schema, error.status, stamp(self._clock).at(began_ns))
