"""Creates subscriptions and their monitored items, with filters that the server will have.

Owns CreateSubscription and CreateMonitoredItems (OPC UA Part 4, 5.13.2 and 5.14.2). Must not know
the publish loop.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from forebay.clock import stamp
from forebay.drivers.opcua.chunks import in_chunks
from forebay.drivers.opcua.faults import FILTER_STATUSES
from forebay.drivers.opcua.refusals import RefusedTags
from forebay.drivers.opcua.revisions import Items
from forebay.drivers.opcua.sampling import FASTEST_PUBLISH_S, OpcUaGroup, sampling
from forebay.drivers.opcua.values import BatchMaker, refused
from forebay.errors import DeviceRefused, ProtocolViolation
from forebay.events import FILTER_REFUSED
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forebay.drivers.opcua.config import OpcUaSettings, OpcUaTag
    from forebay.drivers.opcua.connection import Connection
    from forebay.drivers.opcua.revisions import Revisions
    from forebay.drivers.opcua.sampling import Sampling
    from forebay.interfaces import DeviceSpec, Seams
    from forebay.model import Batch, Schema

_NOTIFICATIONS_AT_ONCE = 5000
_LIFE_IN_KEEPALIVES = 20
_MISSED_KEEPALIVES = 3
_SHOWN = 5


@dataclass(slots=True)
class Subscription:
    """One group's subscription on the server.

    `silence_s` is how long nothing may be heard of it; `samplings` has one entry a column;
    `refused` are the nodes (by column) that the server would not monitor.
    """

    number: int
    maker: BatchMaker
    refusals: RefusedTags
    samplings: list[Sampling]
    silence_s: float
    heard_s: float
    next_sequence: int = 1
    refused: dict[int, ua.NodeId] = field(default_factory=dict)


class Monitor:
    """Asks one server for subscriptions."""

    def __init__(
        self,
        connection: Connection,
        spec: DeviceSpec,
        settings: OpcUaSettings,
        seams: Seams,
        revisions: Revisions,
    ) -> None:
        """Send nothing yet. `settings` are those of `spec`."""
        self._revisions = revisions
        self._connection, self._spec, self._settings = connection, spec, settings
        self._clock, self._events = seams.clock, seams.events

    async def create(self, schema: Schema, period_s: float) -> Subscription:
        """Create the group's subscription, without items yet. Raises DeviceErrors."""
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
        given_s = answer.RevisedPublishingInterval / 1000
        keepalive_s = given_s * answer.RevisedMaxKeepAliveCount
        self._revisions.subscription(
            schema.group,
            (publish_s, publish_s * keepalives, publish_s * keepalives * _LIFE_IN_KEEPALIVES),
            (given_s, keepalive_s, given_s * answer.RevisedLifetimeCount),
        )
        return Subscription(
            answer.SubscriptionId,
            await asyncio.to_thread(
                BatchMaker, schema, self._settings.timestamps, self._connection.structures
            ),
            RefusedTags(self._spec.name, self._events),
            await asyncio.to_thread(self._samplings, schema, period_s, publish_s),
            silence_s=max(_MISSED_KEEPALIVES * keepalive_s, self._settings.timeout),
            heard_s=self._clock.monotonic_s(),
        )

    async def watch(
        self, subscription: Subscription, nodes: Mapping[int, ua.NodeId]
    ) -> dict[int, int]:
        """Monitor `nodes` (column -> node) and give the status of each column refused.

        Where the server refuses a filter it is asked again for that item, with less of it. Raises
        DeviceErrors.
        """
        items = Items()
        statuses = await self._create_items(subscription, nodes, items)
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
            retried = await self._create_items(subscription, {c: nodes[c] for c in again}, items)
            statuses = {c: s for c, s in statuses.items() if c not in again} | retried
        if unfiltered:
            self._tell_unfiltered(subscription, sorted(unfiltered))
        self._revisions.items(subscription.maker.schema.group, items)
        subscription.refused = {column: nodes[column] for column in statuses}
        return statuses

    def _tell_unfiltered(self, subscription: Subscription, columns: Sequence[int]) -> None:
        schema = subscription.maker.schema
        self._events.emit(
            FILTER_REFUSED,
            device=self._spec.name,
            group=schema.group,
            tags=len(columns),
            first=[schema.tags[column].name for column in columns[:_SHOWN]],
            hint="every change is told instead; a deadband in % needs a node with an EURange",
        )

    async def _create_items(
        self, subscription: Subscription, nodes: Mapping[int, ua.NodeId], items: Items
    ) -> dict[int, int]:
        """Ask for a monitored item a node, and give the status of each column refused.

        `items` are told what became of the others.
        """

        async def create(columns: Sequence[int]) -> list[int]:
            request = ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription.number,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=[_item(subscription, column, nodes[column]) for column in columns],
            )
            service = self._connection.session.create_monitored_items
            answers = await self._connection.call("subscribing", service, request)
            if len(answers) != len(columns):
                raise ProtocolViolation(
                    f"subscribing: {len(answers)} answers for {len(columns)} nodes",
                    hint="the server breaks OPC UA; look for a newer version of it",
                    status=Quality.BAD_DECODING_ERROR,
                )
            for column, answer in zip(columns, answers, strict=True):
                if not answer.StatusCode.is_bad():
                    wanted = subscription.samplings[column]
                    items.note(
                        (wanted.interval_s, wanted.queue),
                        (answer.RevisedSamplingInterval / 1000, answer.RevisedQueueSize),
                    )
            return [answer.StatusCode.value for answer in answers]

        size = self._connection.max_items_per_call
        pieces, worked = await in_chunks(sorted(nodes), size, create)
        self._connection.max_items_per_call = worked
        statuses: dict[int, int] = {}
        for columns, answer in pieces:
            codes = [answer.status] * len(columns) if isinstance(answer, DeviceRefused) else answer
            statuses |= {c: s for c, s in zip(columns, codes, strict=True) if s & 0x8000_0000}
        return statuses

    def nothing(self, schema: Schema, columns: Sequence[int], status: int) -> Batch:
        """Give the batch that says of `columns` that their group was refused with `status`."""
        values = refused(columns, [status] * len(columns))
        maker = BatchMaker(schema, self._settings.timestamps, self._connection.structures)
        batch = maker.sparse(values, stamp(self._clock))
        RefusedTags(self._spec.name, self._events).note(batch)
        return batch

    def _samplings(self, schema: Schema, period_s: float, publish_s: float) -> list[Sampling]:
        group = self._settings.groups.get(schema.group, OpcUaGroup(period=period_s))
        depth = self._settings.queue_size
        rows = (cast("OpcUaTag", self._spec.tags[tag.name]) for tag in schema.tags)
        return [sampling(row.own_sampling, row.type, group, depth, publish_s) for row in rows]


def _item(
    subscription: Subscription, column: int, node: ua.NodeId
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
