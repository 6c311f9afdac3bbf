"""Lost notifications and refused filters, against a server in the same loop that misbehaves."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncua.ua
import pytest
from asyncua.common.utils import ServiceError
from asyncua.ua.status_codes import StatusCodes

from forebay.drivers.opcua.codec import Notification, publish_response
from forebay.errors import DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.events import EVENTS_REFUSED, FILTER_REFUSED, TAGS_REFUSED
from forebay.model import Schema
from support.asyncua_server import NAMESPACE, SmallServer, small_server
from support.opcua import connected, device
from support.processes import until
from support.seams import system_seams
from support.streams import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

ua: Any = asyncua.ua
LEVEL = {"level": (f"nsu={NAMESPACE};s=Level", "float64")}


def swallow(server: SmallServer, count: int) -> Callable[[], int]:
    """Let the server lose its next `count` notifications with values; gives how many it lost."""
    (subscription,) = server.server.iserver.subscription_service.subscriptions.values()
    deliver: Any = subscription.pub_result_callback
    lost: list[int] = []

    async def lose(result: Any, *rest: Any) -> None:
        if len(lost) < count and result.NotificationMessage.NotificationData:
            lost.append(result.NotificationMessage.SequenceNumber)
            return
        await deliver(result, *rest)

    subscription.pub_result_callback = lose
    return lambda: len(lost)


async def put(server: SmallServer, value: float) -> None:
    await server.set("Level", ua.DataValue(ua.Variant(value, ua.VariantType.Double)))


async def test_lost_notifications_are_asked_for_again_and_come_in_order() -> None:
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, LEVEL)
        async with (
            connected(spec) as driver,
            Listener(driver, {spec.schemas[0]: 0.05}) as listener,
        ):
            await listener.until(lambda _: listener.values("level"))
            lost = swallow(server, 2)
            for value in (1.0, 2.0):
                await put(server, value)
                async with asyncio.timeout(20):
                    while lost() < value:  # noqa: ASYNC110 - the server tells nobody
                        await asyncio.sleep(0.01)
            await put(server, 3.0)
            await listener.until(lambda _: listener.values("level")[-1] == 3.0)
            assert listener.values("level") == [0.0, 1.0, 2.0, 3.0]
            await put(server, 4.0)
            await listener.until(lambda _: listener.values("level")[-1] == 4.0)


async def test_what_the_server_has_no_more_is_told_as_lost() -> None:
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver:
            listener = Listener(driver, {spec.schemas[0]: 0.05})
            await listener.until(lambda _: listener.values("level"))
            lost = swallow(server, 1)
            await put(server, 1.0)
            async with asyncio.timeout(20):
                while not lost():  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(0.01)
            (subscription,) = server.server.iserver.subscription_service.subscriptions.values()
            subscription._not_acknowledged_results.clear()  # noqa: SLF001 - as a server with little memory
            await put(server, 2.0)
            with pytest.raises(ProtocolViolation, match="1 notifications are lost"):
                await asyncio.wait_for(listener.task, 20)


async def test_a_refused_filter_costs_the_filter_and_not_the_tag() -> None:
    seams = system_seams()
    async with small_server(Level=0.0) as server:
        space: Any = server.server.iserver.subscription_service
        asked: list[Any] = []
        create = space.create_monitored_items

        async def refuse(params: Any, *rest: Any, **more: Any) -> Any:
            given = [item.RequestedParameters.Filter for item in params.ItemsToCreate]
            filters = [f if hasattr(f, "Trigger") else None for f in given]
            asked.extend(filters)
            if any(filters):
                code = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadMonitoredItemFilterUnsupported))
                return [ua.MonitoredItemCreateResult(StatusCode=code) for _ in filters]
            return await create(params, *rest, **more)

        space.create_monitored_items = refuse
        spec = device(
            server.endpoint, LEVEL, columns={"level": {"deadband": "2 %", "trigger": "timestamp"}}
        )
        async with (
            connected(spec, seams) as driver,
            Listener(driver, {spec.schemas[0]: 0.05}) as listener,
        ):
            await listener.until(lambda _: listener.values("level") == [0.0])
    assert [(f.DeadbandType, f.DeadbandValue, int(f.Trigger)) for f in asked if f] == [
        (2, 2.0, 2),
        (0, 0.0, 2),
    ]
    assert asked[-1] is None
    assert seams.events.count(FILTER_REFUSED, device="press") == 1


async def test_what_a_tag_wants_is_asked_for() -> None:
    async with small_server(Level=0.0) as server:
        space: Any = server.server.iserver.subscription_service
        asked: list[Any] = []
        create = space.create_monitored_items

        async def note(params: Any, *rest: Any, **more: Any) -> Any:
            asked.extend(item.RequestedParameters for item in params.ItemsToCreate)
            return await create(params, *rest, **more)

        space.create_monitored_items = note
        spec = device(
            server.endpoint,
            LEVEL,
            groups={"default": {"period": 1.0, "discard": "newest", "queue_size": 7}},
            columns={"level": {"sampling": 0.2, "deadband": "0.5"}},
        )
        async with (
            connected(spec) as driver,
            Listener(driver, {spec.schemas[0]: 1.0}) as listener,
        ):
            await listener.until(lambda _: listener.values("level") == [0.0])
    (wanted,) = asked
    assert (wanted.SamplingInterval, wanted.QueueSize, wanted.DiscardOldest) == (200.0, 7, False)
    assert (wanted.Filter.DeadbandType, wanted.Filter.DeadbandValue) == (1, 0.5)


async def test_a_process_that_stood_still_does_not_take_it_for_silence() -> None:
    """A machine that was paused: what the server says waits longer than it may be silent."""
    async with small_server(Level=1.0) as server:
        spec = device(server.endpoint, LEVEL)
        seams = system_seams()
        async with (
            connected(spec, seams) as driver,
            Listener(driver, {spec.schemas[0]: 0.05}) as listener,
        ):
            await listener.until(lambda _: listener.values("level") == [1.0])
            feed: Any = driver._feed  # noqa: SLF001 - its patience, so that the test needs none
            (subscription,) = feed._subscriptions.values()  # noqa: SLF001
            subscription.silence_s = 1.5
            await put(server, 2.0)
            await listener.until(lambda _: listener.values("level") == [1.0, 2.0])
            time.sleep(2.5)  # noqa: ASYNC251 - server and driver stand still
            await put(server, 3.0)
            await listener.until(lambda _: listener.values("level") == [1.0, 2.0, 3.0])


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with small_server(Level=1.0) as server:
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver, Listener(driver, {spec.schemas[0]: 0.05}) as listener:
            await listener.until(lambda _: listener.values("level") == [1.0])
            feed: Any = driver._feed  # noqa: SLF001 - its patience, so that the test needs none
            (subscription,) = feed._subscriptions.values()  # noqa: SLF001
            (at_server,) = server.server.iserver.subscription_service.subscriptions.values()
            subscription.silence_s = 1.5
            await at_server.stop()
            with pytest.raises(DeviceUnreachable, match=r"nothing heard .* for 1\.5 s"):
                await asyncio.wait_for(listener.task, 20)


async def test_a_group_without_a_subscription_costs_the_others_nothing() -> None:
    """The server has one subscription to give, and later another."""
    seams = system_seams()
    both = {
        **LEVEL,
        "other": (f"nsu={NAMESPACE};s=Other", "float64"),
        "gone": (f"nsu={NAMESPACE};s=Gone", "float64"),
    }
    async with small_server(Level=1.0, Other=2.0) as server:
        space: Any = server.server.iserver.subscription_service
        create, most = space.create_subscription, [1]

        async def scarce(*given: Any, **more: Any) -> Any:
            if len(space.subscriptions) >= most[0]:
                raise ServiceError(StatusCodes.BadTooManySubscriptions)
            return await create(*given, **more)

        space.create_subscription = scarce
        whole = device(server.endpoint, both)
        tags = whole.schemas[0].tags
        schemas = tuple(Schema("press", tag.name, (tag,)) for tag in tags)
        spec = replace(whole, schemas=schemas)
        async with (
            connected(spec, seams) as driver,
            Listener(driver, dict.fromkeys(schemas, 0.05)) as listener,
        ):
            await listener.until(lambda _: listener.values("level") == [1.0])
            bad = [s for s in listener.samples if s.tag.name in {"other", "gone"}]
            assert [s.quality for s in bad] == [StatusCodes.BadTooManySubscriptions] * 2
            assert seams.events.count(TAGS_REFUSED, device="press") == 2
            most[0] = 3
            feed: Any = driver._feed  # noqa: SLF001 - a minute is too long for a test
            feed._retry_at_s = 0.0  # noqa: SLF001
            await put(server, 3.0)
            await listener.until(lambda _: listener.values("other") == [None, 2.0])
            await listener.until(lambda _: len(listener.values("gone")) == 2)
            (_, last) = (s.quality for s in listener.samples if s.tag.name == "gone")
            assert last == StatusCodes.BadNodeIdUnknown


async def test_no_subscription_at_all_is_refused() -> None:
    async with small_server(Level=1.0) as server:
        space: Any = server.server.iserver.subscription_service

        async def none(*_: Any, **__: Any) -> Any:
            raise ServiceError(StatusCodes.BadTooManySubscriptions)

        space.create_subscription = none
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver:
            listener = Listener(driver, {spec.schemas[0]: 0.05})
            with pytest.raises(DeviceRefused, match="BadTooManySubscriptions"):
                await asyncio.wait_for(listener.task, 20)


async def test_events_without_a_subscription_cost_the_tags_nothing_and_come_later() -> None:
    """The server has one subscription to give, and later another."""
    seams = system_seams()
    async with small_server(Level=1.0) as server:
        space: Any = server.server.iserver.subscription_service
        create, most = space.create_subscription, [1]

        async def scarce(*given: Any, **more: Any) -> Any:
            if len(space.subscriptions) >= most[0]:
                raise ServiceError(StatusCodes.BadTooManySubscriptions)
            return await create(*given, **more)

        space.create_subscription = scarce
        generator = await server.server.get_event_generator()
        spec = device(server.endpoint, LEVEL, events={"period": 0.1})
        async with (
            connected(spec, seams) as driver,
            Listener(driver, {spec.schemas[0]: 0.05}) as listener,
        ):
            await listener.until(lambda _: listener.values("level") == [1.0])
            assert seams.events.count(EVENTS_REFUSED, device="press") == 1
            most[0] = 2
            await retried(driver, server)
            await generator.trigger(message="late")
            await listener.until(lambda _: "late" in listener.values("message"))
            assert seams.events.count(EVENTS_REFUSED, device="press") == 1


async def retried(driver: Any, server: SmallServer) -> None:
    """Let the driver ask again for what was refused; a minute is too long for a test."""
    feed: Any = driver._feed  # noqa: SLF001
    feed._retry_at_s = 0.0  # noqa: SLF001
    await put(server, 5.0)
    async with asyncio.timeout(20):
        while not feed._alarms.served:  # noqa: ASYNC110, SLF001 - it tells nobody
            await asyncio.sleep(0.01)


async def test_a_refused_notifier_is_asked_again() -> None:
    seams = system_seams()
    async with small_server(Level=1.0) as server:
        space: Any = server.server.iserver.subscription_service
        create, refusing = space.create_monitored_items, [True]

        async def refuse(params: Any, *rest: Any, **more: Any) -> Any:
            item = params.ItemsToCreate[0].ItemToMonitor
            if refusing[0] and item.AttributeId == ua.AttributeIds.EventNotifier:
                code = ua.StatusCode(ua.UInt32(StatusCodes.BadUserAccessDenied))
                return [ua.MonitoredItemCreateResult(StatusCode=code)]
            return await create(params, *rest, **more)

        space.create_monitored_items = refuse
        generator = await server.server.get_event_generator()
        spec = device(server.endpoint, LEVEL, events={"period": 0.1})
        async with (
            connected(spec, seams) as driver,
            Listener(driver, {spec.schemas[0]: 0.05}) as listener,
        ):
            await listener.until(lambda _: listener.values("level") == [1.0])
            assert seams.events.count(EVENTS_REFUSED, device="press") == 1
            refusing[0] = False
            await retried(driver, server)
            await generator.trigger(message="late")
            await listener.until(lambda _: "late" in listener.values("message"))


async def test_events_alone_that_are_refused_leave_the_connection_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seams = system_seams()
    async with small_server(Level=1.0) as server:
        space: Any = server.server.iserver.subscription_service
        create, refusing = space.create_subscription, [True]

        async def scarce(*given: Any, **more: Any) -> Any:
            if refusing[0]:
                raise ServiceError(StatusCodes.BadTooManySubscriptions)
            return await create(*given, **more)

        space.create_subscription = scarce
        monkeypatch.setattr("forebay.drivers.opcua.subscription._RETRY_REFUSED_S", 0.2)
        generator = await server.server.get_event_generator()
        spec = device(server.endpoint, {}, events={"period": 0.1})
        async with connected(spec, seams) as driver, Listener(driver, {}) as listener:
            async with asyncio.timeout(20):
                while not seams.events.count(EVENTS_REFUSED, device="press"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert not listener.task.done()
            refusing[0] = False
            feed: Any = driver._feed  # noqa: SLF001
            async with asyncio.timeout(20):
                while not feed._alarms.served:  # noqa: ASYNC110, SLF001 - it tells nobody
                    await asyncio.sleep(0.01)
            await generator.trigger(message="late")
            await listener.until(lambda _: "late" in listener.values("message"))
            assert seams.events.count(EVENTS_REFUSED, device="press") == 1


async def test_a_notification_that_came_before_is_dropped() -> None:
    """Each comes twice."""
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, LEVEL)
        async with connected(spec) as driver:
            connection: Any = driver._connection  # noqa: SLF001 - the network's place
            publish, came = connection.publish, list[bytes]()
            repeated = 0

            async def twice(acks: Any) -> bytes:
                nonlocal repeated
                if came:
                    repeated += 1
                    return came.pop()
                body: bytes = await publish(acks)
                if publish_response(body).data:
                    came.append(body)
                return body

            connection.publish = twice
            async with Listener(driver, {spec.schemas[0]: 0.05}) as listener:
                await listener.until(lambda _: listener.values("level"))
                for value in (7.0, 8.0, 9.0):
                    await put(server, value)
                    await listener.until(lambda _: listener.values("level")[-1] == value)  # noqa: B023
                await until(lambda: repeated >= 4, "the last one comes again, too")
            assert listener.values("level") == [0.0, 7.0, 8.0, 9.0]


@pytest.mark.parametrize("kept", [True, False])
async def test_a_keepalive_tells_what_is_missing(*, kept: bool) -> None:
    """`kept`: the server has it still. If not, its keep-alives say nothing, and values go on."""
    async with small_server(Level=0.0) as server:
        spec = device(server.endpoint, LEVEL)
        async with (
            connected(spec) as driver,
            Listener(driver, {spec.schemas[0]: 0.05}) as listener,
        ):
            await listener.until(lambda _: listener.values("level"))
            feed: Any = driver._feed  # noqa: SLF001
            (ours,) = feed._subscriptions.values()  # noqa: SLF001
            if kept:
                lost = swallow(server, 1)
                await put(server, 1.0)
                async with asyncio.timeout(20):
                    while not lost():  # noqa: ASYNC110 - the server tells nobody
                        await asyncio.sleep(0.01)
            ahead = Notification(ours.number, ours.next_sequence + 1, (), None, keepalive=True)
            await feed._recover(ours, ahead)  # noqa: SLF001
            await feed._recover(ours, ahead)  # noqa: SLF001
            await put(server, 2.0)
            await listener.until(lambda _: listener.values("level")[-1] == 2.0)
            assert listener.values("level") == ([0.0, 1.0, 2.0] if kept else [0.0, 2.0])
