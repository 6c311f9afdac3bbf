"""Subscriptions: one a group, several requests in flight, acknowledged after the intake.

Owns monitored items, the publish loop, sequence numbers and liveness (OPC UA Part 4, 5.13 and
5.14). Must not know the wire.

Memory is bounded without a limit on the server: a PublishRequest is sent again only when the answer
to one was taken, so that at most `publish_requests` notifications wait here, and the rest in the
server's queues, whose overflow it marks in the status of a value.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from forebay.clock import stamp
from forebay.drivers.opcua.chunks import in_chunks
from forebay.drivers.opcua.codec import publish_response
from forebay.drivers.opcua.faults import FILTER_STATUSES, status_name, translate
from forebay.drivers.opcua.refusals import RefusedTags
from forebay.drivers.opcua.sampling import FASTEST_PUBLISH_S, OpcUaGroup, sampling
from forebay.drivers.opcua.values import BatchMaker, refused
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.events import FILTER_REFUSED
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.drivers.opcua.codec import Notification
    from forebay.drivers.opcua.config import OpcUaSettings, OpcUaTag
    from forebay.drivers.opcua.connection import Connection
    from forebay.drivers.opcua.sampling import Sampling
    from forebay.interfaces import DeviceSpec, Seams
    from forebay.model import Batch, Schema

    Groups = Mapping[Schema, tuple[dict[int, ua.NodeId], list[int]]]
    Acks = list[ua.SubscriptionAcknowledgement]

_NOTIFICATIONS_AT_ONCE = 5000
_LIFE_IN_KEEPALIVES = 20
_MISSED_KEEPALIVES = 3
_RETRY_REFUSED_S = 60.0
_LAST_SEQUENCE = 0xFFFF_FFFF
_SHOWN = 5


@dataclass(slots=True)
class _Subscription:
    """One group's subscription on the server.

    `silence_s` is how long nothing may be heard of it; `samplings` has one entry a column.
    """

    number: int
    maker: BatchMaker
    refusals: RefusedTags
    samplings: list[Sampling]
    silence_s: float
    heard_s: float
    next_sequence: int = 1
    refused: dict[int, ua.NodeId] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came at once: batches to hand over, then to be acknowledged."""

    batches: tuple[Batch, ...]
    ack: ua.SubscriptionAcknowledgement | None
    at_s: float


class Feed:
    """All subscriptions of one connection."""

    def __init__(
        self, connection: Connection, spec: DeviceSpec, settings: OpcUaSettings, seams: Seams
    ) -> None:
        """Prepare; nothing is sent. `settings` are those of `spec`."""
        self._connection, self._device, self._settings = connection, spec.name, settings
        self._tags = spec.tags
        self._clock, self._events = seams.clock, seams.events
        self._subscriptions: dict[int, _Subscription] = {}
        self._depth = settings.publish_requests
        self._answers: asyncio.Queue[tuple[Acks, bytes | DeviceError]] = asyncio.Queue(maxsize=64)
        self._asking: set[asyncio.Task[None]] = set()
        self._acks: Acks = []
        self._retry_at_s = 0.0

    async def open(self, periods: Mapping[Schema, float], groups: Groups) -> list[Batch]:
        """Subscribe to every group, and give the batches that say which tags the server refused.

        Raises DeviceErrors.
        """
        batches: list[Batch] = []
        for schema, (nodes, missing) in groups.items():
            subscription = await self._create(schema, periods[schema])
            self._subscriptions[subscription.number] = subscription
            statuses = dict.fromkeys(missing, int(Quality.BAD_NODE_ID_UNKNOWN))
            statuses |= await self._monitor(subscription, nodes)
            if statuses:
                batches.append(self._refused(subscription, statuses))
        self._retry_at_s = self._clock.monotonic_s() + _RETRY_REFUSED_S
        self._depth = min(32, max(self._depth, len(self._subscriptions) + 1))
        for _ in range(self._depth):
            self._ask()
        return batches

    async def next(self) -> Arrival:
        """Wait for the next values.

        Raises DeviceErrors: a subscription that is not heard of is a lost server.
        """
        while True:
            await self._retry()
            acks, answer = await self._answer()
            if isinstance(answer, DeviceError):
                self._ask_again(acks, answer)
                continue
            try:
                notification = publish_response(answer)
            except ValueError as error:
                raise translate(error, "reading a notification") from error
            subscription = self._subscriptions.get(notification.subscription)
            if subscription is None:  # of an earlier session that the server still remembers
                self._ask()
                continue
            arrival = self._take_in(subscription, notification)
            if arrival.batches:
                return arrival
            self.taken(arrival)

    def taken(self, arrival: Arrival) -> None:
        """Note that somebody answers for `arrival`: acknowledge it and ask for more."""
        if arrival.ack is not None:
            self._acks.append(arrival.ack)
        held_s = self._clock.monotonic_s() - arrival.at_s
        for subscription in self._subscriptions.values():
            subscription.heard_s += held_s  # the time that we took is no silence of the server
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
        """Wait for an answer as long as every subscription may be silent."""
        if not self._answers.empty():
            return self._answers.get_nowait()
        due = min(self._subscriptions.values(), key=lambda s: s.heard_s + s.silence_s)
        left_s = due.heard_s + due.silence_s - self._clock.monotonic_s()
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                return await self._answers.get()
        except TimeoutError:
            error = DeviceUnreachable(
                f"nothing heard of the subscription for {due.silence_s:.1f} s",
                hint="check the network and whether the server still runs",
                status=Quality.BAD_NO_COMMUNICATION,
            )
            self._connection.fail(error)
            raise error from None

    def _take_in(self, subscription: _Subscription, notification: Notification) -> Arrival:
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
            raise ProtocolViolation(
                f"notification {notification.sequence} came instead of {expected}",
                hint="the server lost notifications; lengthen the period or raise publish_requests",
                status=Quality.BAD_COMMUNICATION_ERROR,
            )
        subscription.next_sequence = 1 if expected == _LAST_SEQUENCE else expected + 1
        batches = tuple(
            batch
            for values in notification.data
            if (batch := subscription.maker.sparse(values, received)).rows
        )
        for batch in batches:
            subscription.refusals.note(batch)
        ack = ua.SubscriptionAcknowledgement(subscription.number, notification.sequence)
        return Arrival(batches, ack, now_s)

    # --- subscribing -----------------------------------------------------------------------------

    async def _create(self, schema: Schema, period_s: float) -> _Subscription:
        """Create the group's subscription, without asyncua's publish loop."""
        publish_s = max(period_s, FASTEST_PUBLISH_S)
        keepalives = max(1, round(self._settings.keepalive / publish_s))
        request = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=publish_s * 1000,
            RequestedLifetimeCount=keepalives * _LIFE_IN_KEEPALIVES,
            RequestedMaxKeepAliveCount=keepalives,
            MaxNotificationsPerPublish=_NOTIFICATIONS_AT_ONCE,
            PublishingEnabled=True,
        )
        answer = await self._connection.create_subscription(request)
        keepalive_s = answer.RevisedPublishingInterval / 1000 * answer.RevisedMaxKeepAliveCount
        return _Subscription(
            answer.SubscriptionId,
            BatchMaker(schema, self._settings.timestamps, self._connection.structures),
            RefusedTags(self._device, self._events),
            self._samplings(schema, period_s, publish_s),
            silence_s=max(_MISSED_KEEPALIVES * keepalive_s, self._settings.timeout),
            heard_s=self._clock.monotonic_s(),
        )

    def _samplings(self, schema: Schema, period_s: float, publish_s: float) -> list[Sampling]:
        group = self._settings.groups.get(schema.group, OpcUaGroup(period=period_s))
        depth = self._settings.queue_size
        rows = (cast("OpcUaTag", self._tags[tag.name]) for tag in schema.tags)
        return [sampling(row.own_sampling, row.type, group, depth, publish_s) for row in rows]

    async def _monitor(
        self, subscription: _Subscription, nodes: Mapping[int, ua.NodeId]
    ) -> dict[int, int]:
        """Monitor `nodes` (column -> node) and give the status of each column refused.

        Where the server refuses a filter it is asked again for that item, with less of it.
        """
        statuses = await self._create_items(subscription, nodes)
        unfiltered: set[int] = set()
        samplings = subscription.samplings
        while again := [c for c, s in statuses.items() if s in FILTER_STATUSES]:
            for column in list(again):
                if simpler := samplings[column].simpler:
                    samplings[column] = simpler
                else:
                    again.remove(column)
            if not again:
                break
            unfiltered.update(again)
            retried = await self._create_items(subscription, {c: nodes[c] for c in again})
            statuses = {c: s for c, s in statuses.items() if c not in again} | retried
        if unfiltered:
            self._tell_unfiltered(subscription, sorted(unfiltered))
        subscription.refused = {column: nodes[column] for column in statuses}
        return statuses

    def _tell_unfiltered(self, subscription: _Subscription, columns: Sequence[int]) -> None:
        schema = subscription.maker.schema
        self._events.emit(
            FILTER_REFUSED,
            device=self._device,
            group=schema.group,
            tags=len(columns),
            first=[schema.tags[column].name for column in columns[:_SHOWN]],
            hint="every change is told instead; a deadband in % needs a node with an EURange",
        )

    async def _create_items(
        self, subscription: _Subscription, nodes: Mapping[int, ua.NodeId]
    ) -> dict[int, int]:
        """Ask for a monitored item a node, and give the status of each column refused."""

        async def create(columns: Sequence[int]) -> list[int]:
            request = ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription.number,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=[_item(subscription, column, nodes[column]) for column in columns],
            )
            service = self._connection.session.create_monitored_items
            answers = await self._connection.call("subscribing", service, request)
            return [answer.StatusCode.value for answer in answers]

        size = self._connection.max_items_per_call
        pieces, worked = await in_chunks(sorted(nodes), size, create)
        self._connection.max_items_per_call = worked
        statuses: dict[int, int] = {}
        for columns, answer in pieces:
            codes = [answer.status] * len(columns) if isinstance(answer, DeviceRefused) else answer
            statuses |= {c: s for c, s in zip(columns, codes, strict=True) if s & 0x8000_0000}
        return statuses

    async def _retry(self) -> None:
        """Try refused nodes again: the controller may have got a new program since."""
        now_s = self._clock.monotonic_s()
        if now_s < self._retry_at_s:
            return
        self._retry_at_s = now_s + _RETRY_REFUSED_S
        for subscription in self._subscriptions.values():
            if subscription.refused:
                await self._monitor(subscription, subscription.refused)

    def _refused(self, subscription: _Subscription, statuses: Mapping[int, int]) -> Batch:
        columns = sorted(statuses)
        values = refused(columns, [statuses[column] for column in columns])
        batch = subscription.maker.sparse(values, stamp(self._clock))
        subscription.refusals.note(batch)
        return batch


def _item(
    subscription: _Subscription, column: int, node: ua.NodeId
) -> ua.MonitoredItemCreateRequest:
    wanted = subscription.samplings[column]
    return ua.MonitoredItemCreateRequest(
        ItemToMonitor=ua.ReadValueId(node, AttributeIds.Value),
        MonitoringMode=ua.MonitoringMode.Reporting,
        RequestedParameters=ua.MonitoringParameters(
            ClientHandle=column,
            SamplingInterval=wanted.interval_s * 1000,
            QueueSize=wanted.queue,
            DiscardOldest=wanted.discard_oldest,
            Filter=_filter(wanted) if wanted.filtered else None,
        ),
    )


def _filter(wanted: Sampling) -> ua.DataChangeFilter:
    deadband = wanted.deadband
    kind = ua.DeadbandType.None_
    if deadband is not None:
        kind = ua.DeadbandType.Percent if deadband.percent else ua.DeadbandType.Absolute
    return ua.DataChangeFilter(
        Trigger=ua.DataChangeTrigger(wanted.trigger),
        DeadbandType=int(kind),
        DeadbandValue=deadband.value if deadband else 0.0,
    )
