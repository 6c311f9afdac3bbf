"""Subscriptions: one a group, several requests in flight, acknowledged after the intake.

Owns the publish loop, sequence numbers and liveness (OPC UA Part 4, 5.14). Must not know the wire,
nor what is asked of a monitored item (`monitored` does).

Memory is bounded without a limit on the server: a PublishRequest is sent again only when the answer
to one was taken, so that at most `publish_requests` notifications wait here, and the rest in the
server's queues, whose overflow it marks in the status of a value.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from forebay.clock import stamp
from forebay.drivers.opcua.codec import publish_response
from forebay.drivers.opcua.eventfields import GROUP
from forebay.drivers.opcua.faults import status_name, translate
from forebay.drivers.opcua.monitored import Monitor
from forebay.drivers.opcua.revisions import Revisions
from forebay.drivers.opcua.values import refused
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.model import Quality, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forebay.drivers.opcua.codec import Notification, Values
    from forebay.drivers.opcua.config import OpcUaSettings
    from forebay.drivers.opcua.connection import Connection
    from forebay.drivers.opcua.events import EventFeed
    from forebay.drivers.opcua.history import HistoryFeed, Progress
    from forebay.drivers.opcua.monitored import Subscription
    from forebay.interfaces import DeviceSpec, Seams
    from forebay.model import Batch

    Groups = Mapping[Schema, tuple[dict[int, ua.NodeId], list[int]]]
    Acks = list[ua.SubscriptionAcknowledgement]

_RETRY_REFUSED_S = 60.0
_LAST_SEQUENCE = 0xFFFF_FFFF
_BEHIND = _LAST_SEQUENCE // 2
_LOOK_S, _STOOD_STILL_S = 1.0, 0.5
"""While nothing is heard: how often we look whether we stood still, and how late says so."""
_MOST_RECOVERED = 32
"""Missing notifications that are asked for again, one after the other; more are a lost server."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came at once: batches to hand over, then to be acknowledged.

    `asked_for` says that it is no answer to a PublishRequest, and frees none. The rest is what is
    noted when somebody answers for it: values by schema, ids of events, how far a hole is filled.
    """

    batches: tuple[Batch, ...]
    ack: ua.SubscriptionAcknowledgement | None
    at_s: float
    asked_for: bool = False
    values: tuple[tuple[Schema, Values], ...] = ()
    events: tuple[bytes, ...] = ()
    progress: Progress | None = None


class Feed:
    """All subscriptions of one connection."""

    def __init__(
        self,
        connection: Connection,
        spec: DeviceSpec,
        settings: OpcUaSettings,
        seams: Seams,
        alarms: EventFeed | None = None,
        history: HistoryFeed | None = None,
        revised: dict[str, str] | None = None,
    ) -> None:
        """Prepare; nothing is sent.

        `settings` are those of `spec`. `alarms` are told too, and holes filled from `history`;
        `revised` has what was told of it on earlier connections.
        """
        self._connection, self._device = connection, spec.name
        self._alarms, self._history = alarms, history
        revisions = Revisions(spec.name, seams.events, {} if revised is None else revised)
        self._monitor = Monitor(connection, spec, settings, seams, revisions)
        self._clock = seams.clock
        self._subscriptions: dict[int, Subscription] = {}
        self._depth = settings.publish_requests
        self._answers: asyncio.Queue[tuple[Acks, bytes | DeviceError]] = asyncio.Queue(maxsize=64)
        self._asking: set[asyncio.Task[None]] = set()
        self._acks: Acks = []
        self._recovered: deque[Arrival] = deque(maxlen=_MOST_RECOVERED + 1)
        self._retry_at_s = 0.0
        self._loss: asyncio.Task[None] | None = None
        self._alarm_group: Subscription | None = None
        self._odd_keepalives: set[int] = set()
        self._unserved: dict[Schema, tuple[float, dict[int, ua.NodeId], list[int]]] = {}

    async def open(self, periods: Mapping[Schema, float], groups: Groups) -> list[Batch]:
        """Subscribe to every group, and give the batches that say which tags the server refused.

        Raises DeviceErrors.
        """
        batches: list[Batch] = []
        refusal: DeviceRefused | None = None
        for schema, (nodes, missing) in groups.items():
            try:
                batches += await self._open_group(schema, periods[schema], nodes, missing)
            except DeviceRefused as error:  # others may be served, and polled groups are
                refusal = error
                self._unserved[schema] = (periods[schema], nodes, missing)
                columns = sorted([*nodes, *missing])
                batches.append(self._monitor.nothing(schema, columns, error.status))
        await self._open_alarms()
        if refusal is not None and not self._subscriptions:
            raise refusal
        self._retry_at_s = self._clock.monotonic_s() + _RETRY_REFUSED_S
        self._ask_first()
        return batches

    def _ask_first(self) -> None:
        """Send the first requests, once there is a subscription that may answer them."""
        for subscription in self._subscriptions.values():
            subscription.heard_s = self._clock.monotonic_s()  # until now nothing could answer
        if self._subscriptions:
            self._depth = min(32, max(self._depth, len(self._subscriptions) + 1))
            for _ in range(self._depth):
                self._ask()

    async def _open_alarms(self) -> None:
        """Subscribe to events, if they are asked for; a server that will not is asked again."""
        if self._alarms is None or self._alarms.served:
            return
        try:
            if self._alarm_group is None:
                group = Schema(self._device, GROUP, ())
                made = await self._monitor.create(group, self._alarms.settings.period)
                self._alarm_group = self._subscriptions[made.number] = made
            await self._alarms.open(self._alarm_group.number)
        except DeviceRefused as refusal:
            self._alarms.refused(refusal)

    async def _open_group(
        self, schema: Schema, period_s: float, nodes: Mapping[int, ua.NodeId], missing: list[int]
    ) -> list[Batch]:
        """Subscribe to a group; DeviceRefused if the server has no subscription to give."""
        subscription = await self._monitor.create(schema, period_s)
        self._subscriptions[subscription.number] = subscription
        statuses = dict.fromkeys(missing, int(Quality.BAD_NODE_ID_UNKNOWN))
        statuses |= await self._monitor.watch(subscription, nodes)
        if self._history is not None:
            await self._history.open(schema, nodes, subscription.maker)
        return [self._refused(subscription, statuses)] if statuses else []

    async def next(self) -> Arrival:
        """Wait for the next values.

        Raises DeviceErrors: a subscription that is not heard of is a lost server.
        """
        while True:
            if self._recovered:
                return self._recovered.popleft()
            await self._retry()
            if self._alarms is not None:
                await self._alarms.refresh()
            if not self._subscriptions:
                await self._idle()
                continue
            if await self._fill_hole():
                continue  # what came meanwhile goes before the next piece
            acks, answer = await self._answer()
            if isinstance(answer, DeviceError):
                self._ask_again(acks, answer)
                continue
            await self._notified(answer)

    async def _fill_hole(self) -> bool:
        """Read one piece of what an outage cost, if there is time; whether one was read."""
        if self._history is None or not self._answers.empty() or self._silent_in_s() <= 0:
            return False
        step = await self._history.step()
        if step is None:
            return False
        batch, progress = step
        if batch is None:
            self._history.taken((), progress)
        else:
            at_s = self._clock.monotonic_s()
            self._recovered.append(Arrival((batch,), None, at_s, asked_for=True, progress=progress))
        return True

    async def _notified(self, answer: bytes) -> None:
        """Take in the answer to a PublishRequest, and what should have come before it."""
        try:
            notification = publish_response(answer)
        except ValueError as error:
            raise translate(error, "reading a notification") from error
        subscription = self._subscriptions.get(notification.subscription)
        if subscription is None:  # of an earlier session that the server still remembers
            self._ask()
            return
        await self._recover(subscription, notification)
        if self._is_duplicate(subscription, notification):
            ack = ua.SubscriptionAcknowledgement(subscription.number, notification.sequence)
            arrival = Arrival((), ack, self._clock.monotonic_s())
        else:
            arrival = self._take_in(subscription, notification)
        if arrival.batches:
            self._recovered.append(arrival)
        else:
            self.taken(arrival)

    def taken(self, arrival: Arrival) -> None:
        """Note that somebody answers for `arrival`: acknowledge it and ask for more."""
        if arrival.ack is not None:
            self._acks.append(arrival.ack)
        if self._alarms is not None:
            self._alarms.taken(arrival.events)
        if self._history is not None:
            self._history.taken(arrival.values, arrival.progress)
        self._forgive(self._clock.monotonic_s() - arrival.at_s)
        if not arrival.asked_for:
            self._ask()

    async def close(self) -> None:
        """Stop asking. The server drops the subscriptions with the session."""
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)

    # --- publishing ------------------------------------------------------------------------------

    def _ask(self) -> None:
        acks, self._acks = self._acks, []
        task = asyncio.create_task(self._publish(acks), name=f"opcua[{self._device}].publish")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _publish(self, acks: Acks) -> None:
        try:
            self._answers.put_nowait((acks, await self._connection.publish(acks)))
        except DeviceError as error:
            self._answers.put_nowait((acks, error))

    def _ask_again(self, acks: Acks, error: DeviceError) -> None:
        """Go on after a refused PublishRequest if that is all it was; else raise."""
        if error.status == StatusCodes.BadTooManyPublishRequests and self._depth > 1:
            self._depth -= 1  # the server keeps fewer than we sent: leave this one out
            self._acks[:0] = acks
            return
        raise error

    async def _answer(self) -> tuple[Acks, bytes | DeviceError]:
        """Wait for an answer as long as every subscription may be silent.

        A while in which this process or its machine stood still is no silence of the server: what
        came meanwhile lies in the socket, and nobody had the time to read it.
        """
        while self._answers.empty() and (left_s := self._silent_in_s()) > 0:
            wait_s, began_s = min(left_s, _LOOK_S), self._clock.monotonic_s()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    return await self._answers.get()
            stood_s = self._clock.monotonic_s() - began_s - wait_s
            if stood_s > _STOOD_STILL_S:
                self._forgive(stood_s)
        if not self._answers.empty():
            return self._answers.get_nowait()
        error = DeviceUnreachable(
            f"nothing heard of the subscription for {self._due().silence_s:.1f} s",
            hint="check the network and whether the server still runs",
            status=Quality.BAD_NO_COMMUNICATION,
        )
        self._connection.fail(error)
        raise error

    def _forgive(self, ours_s: float) -> None:
        """Leave a while out of account that we took, not the server.

        What came at once is answered for one by one, each after a while since the same moment.
        """
        now_s = self._clock.monotonic_s()
        for subscription in self._subscriptions.values():
            subscription.heard_s = min(now_s, subscription.heard_s + ours_s)

    def _due(self) -> Subscription:
        """Give the subscription that is silent for too long before all others."""
        return min(self._subscriptions.values(), key=lambda s: s.heard_s + s.silence_s)

    def _silent_in_s(self) -> float:
        due = self._due()
        return due.heard_s + due.silence_s - self._clock.monotonic_s()

    async def _idle(self) -> None:
        """Wait until it is time to ask again for what was refused, or the connection is lost."""
        if self._loss is None:
            name = f"opcua[{self._device}].loss"
            self._loss = asyncio.create_task(self._connection.lost(), name=name)
            self._asking.add(self._loss)
        left_s = self._retry_at_s - self._clock.monotonic_s()
        done, _ = await asyncio.wait({self._loss}, timeout=max(0.0, left_s))
        if done:
            self._loss.result()

    async def _recover(self, subscription: Subscription, notification: Notification) -> None:
        """Have the notifications sent again that should have come before this one (Part 4, 5.14.6).

        Raises ProtocolViolation, with how many are lost, if the server has them no more.
        """
        missing = _ahead(subscription, notification.sequence)
        if notification.status is not None or not 0 < missing < _BEHIND:
            return
        if notification.keepalive:
            await self._recover_before_keepalive(subscription, missing)
            return
        try:
            if missing > _MOST_RECOVERED:
                raise _lost(missing, "too many to ask for again")
            await self._send_again(subscription, missing)
        except DeviceRefused as refusal:
            raise _lost(missing, str(refusal)) from refusal

    async def _recover_before_keepalive(self, subscription: Subscription, missing: int) -> None:
        """Have sent again what a keep-alive says is missing: its number is that of the next.

        Some servers number keep-alives otherwise. One that has nothing to send again is not asked
        a second time: what is really lost shows at the next notification.
        """
        if missing > _MOST_RECOVERED or subscription.number in self._odd_keepalives:
            return
        try:
            await self._send_again(subscription, missing)
        except (DeviceRefused, ProtocolViolation):
            self._odd_keepalives.add(subscription.number)

    async def _send_again(self, subscription: Subscription, missing: int) -> None:
        """Take in `missing` notifications that should have come, one after the other."""
        for _ in range(missing):
            sequence = subscription.next_sequence
            again = await self._connection.republish(subscription.number, sequence)
            if again.sequence != sequence or again.keepalive:
                raise _lost(missing, "the server sent nothing when asked again")
            arrival = self._take_in(subscription, again)
            self._recovered.append(replace(arrival, asked_for=True))

    def _is_duplicate(self, subscription: Subscription, notification: Notification) -> bool:
        """Whether a notification was taken in before, as one that was sent again and came late."""
        if notification.keepalive or notification.status is not None:
            return False
        if _ahead(subscription, notification.sequence) < _LAST_SEQUENCE - _MOST_RECOVERED:
            return False
        subscription.heard_s = self._clock.monotonic_s()
        return True

    def _take_in(self, subscription: Subscription, notification: Notification) -> Arrival:
        """Check a notification and make its batches."""
        now_s, received = self._clock.monotonic_s(), stamp(self._clock)
        subscription.heard_s = now_s
        if notification.status is not None and notification.status & 0x8000_0000:
            raise DeviceUnreachable(
                f"the server ended the subscription: {status_name(notification.status)}",
                hint="see the server's own log",
                status=notification.status,
            )
        if notification.keepalive:
            return Arrival((), None, now_s)
        expected = subscription.next_sequence
        if notification.sequence != expected:
            raise _lost(1, f"{notification.sequence} came instead of {expected}")
        subscription.next_sequence = 1 if expected == _LAST_SEQUENCE else expected + 1
        batches = tuple(
            batch
            for values in notification.data
            if (batch := subscription.maker.sparse(values, received)).rows
        )
        for batch in batches:
            subscription.refusals.note(batch)
        ack = ua.SubscriptionAcknowledgement(subscription.number, notification.sequence)
        arrival = Arrival(batches, ack, now_s)
        if self._history is not None:
            schema = subscription.maker.schema
            arrival = replace(arrival, values=tuple((schema, v) for v in notification.data))
            self._history.note(arrival.values)
        if self._alarms is not None and notification.events:
            told = self._alarms.take_in(notification.events, received)
            arrival = replace(arrival, batches=batches + told.batches, events=told.ids)
        return arrival

    # --- refused nodes ----------------------------------------------------------------------------

    async def _retry(self) -> None:
        """Try again what was refused: nodes, as the program may be new, and whole groups."""
        now_s = self._clock.monotonic_s()
        if now_s < self._retry_at_s:
            return
        self._retry_at_s = now_s + _RETRY_REFUSED_S
        first, without_events = not self._subscriptions, self._alarm_group is None
        await self._open_alarms()
        if first:
            self._ask_first()
        elif without_events and self._alarm_group is not None:
            self._ask()
        for subscription in self._subscriptions.values():
            if subscription.refused:
                await self._monitor.watch(subscription, subscription.refused)
        late: list[Batch] = []
        for schema, wanted in list(self._unserved.items()):
            try:
                late += await self._open_group(schema, *wanted)
            except DeviceRefused:
                break
            del self._unserved[schema]
            self._ask()
        if late:
            at_s = self._clock.monotonic_s()
            self._recovered.append(Arrival(tuple(late), None, at_s, asked_for=True))

    def _refused(self, subscription: Subscription, statuses: Mapping[int, int]) -> Batch:
        columns = sorted(statuses)
        values = refused(columns, [statuses[column] for column in columns])
        batch = subscription.maker.sparse(values, stamp(self._clock))
        subscription.refusals.note(batch)
        return batch


def _ahead(subscription: Subscription, sequence: int) -> int:
    """Give how far a number is ahead of the expected one; those behind it are beyond _BEHIND."""
    return (sequence - subscription.next_sequence) % _LAST_SEQUENCE


def _lost(count: int, why: str) -> ProtocolViolation:
    return ProtocolViolation(
        f"{count} notifications are lost: {why}",
        hint="everything is subscribed to anew; lengthen the period or raise publish_requests",
        status=Quality.BAD_COMMUNICATION_ERROR,
    )
