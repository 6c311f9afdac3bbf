"""Servers that give less than they were asked for: told once for a group, with from and to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from asyncua.server.subscription_service import SubscriptionService

from forebay.acquisition.line import SharedLine
from forebay.drivers.opcua.revisions import Items, Revisions
from forebay.events import SAMPLING_REVISED
from support.asyncua_server import NAMESPACE, small_server
from support.opcua import connected, device
from support.seams import system_seams
from support.streams import Listener

if TYPE_CHECKING:
    import pytest

    from forebay.events import Event

TAGS = {name: (f"nsu={NAMESPACE};s={name}", "float64") for name in "abc"}
WORDS = {"tags", "sampling", "shorter_queues", "queue", "publishing", "keepalive", "lifetime"}


class Told:
    """An event log that only keeps what was emitted of revisions."""

    def __init__(self) -> None:
        self.facts: list[dict[str, Any]] = []

    def emit(self, event: Event, **facts: Any) -> None:
        if event is SAMPLING_REVISED:
            self.facts.append({name: fact for name, fact in facts.items() if name in WORDS})


def revising(monkeypatch: pytest.MonkeyPatch, sampling_ms: float, queue: int, slow: float) -> None:
    """Let servers say that they sample so slowly, keep so few, publish `slow` times later."""
    create: Any = SubscriptionService.create_subscription
    watch: Any = SubscriptionService.create_monitored_items

    async def created(self: SubscriptionService, *given: Any, **more: Any) -> Any:
        result = await create(self, *given, **more)
        result.RevisedPublishingInterval *= slow
        return result

    async def watched(self: SubscriptionService, *given: Any, **more: Any) -> Any:
        results = await watch(self, *given, **more)
        for result in results:
            result.RevisedSamplingInterval = sampling_ms
            result.RevisedQueueSize = queue
        return results

    monkeypatch.setattr(SubscriptionService, "create_subscription", created)
    monkeypatch.setattr(SubscriptionService, "create_monitored_items", watched)


async def test_what_a_server_revises_is_told_once_for_all_tags_and_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    revising(monkeypatch, 1000.0, 1, 4)
    told: Any = Told()
    seams = replace(system_seams(), events=told)
    line = SharedLine("press", seams.clock)
    async with small_server(a=1.0, b=2.0, c=3.0) as server:
        spec = device(server.endpoint, TAGS, queue_size=10, keepalive=1.0)
        for _ in range(2):
            async with (
                connected(spec, seams, line) as driver,
                Listener(driver, {spec.schemas[0]: 0.5}) as heard,
            ):
                await heard.until(lambda _: len(heard.samples) >= len(TAGS))
    assert told.facts == [
        {"publishing": "0.5 s to 2 s", "keepalive": "1 s to 4 s"},
        {
            "tags": 3,
            "sampling": "0.5 s to 1 s",
            "shorter_queues": 3,
            "queue": "10 to 1",
        },
    ]


async def test_a_server_that_gives_what_was_asked_for_or_better_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    revising(monkeypatch, 0.0, 100, 1)
    told: Any = Told()
    seams = replace(system_seams(), events=told)
    async with small_server(a=1.0, b=2.0, c=3.0) as server:
        spec = device(server.endpoint, TAGS)
        async with (
            connected(spec, seams) as driver,
            Listener(driver, {spec.schemas[0]: 0.5}) as heard,
        ):
            await heard.until(lambda _: len(heard.samples) >= len(TAGS))
    assert told.facts == []


def test_it_is_told_again_only_if_it_is_another_revision() -> None:
    told: Any = Told()
    revisions = Revisions("press", told, {})
    for count, given in ((2, (1.0, 5)), (1, (1.0, 5)), (3, (2.0, 10))):
        items = Items()
        for _ in range(count):
            items.note((0.1, 10), given)
        revisions.items("default", items)
    revisions.subscription("default", (0.1, 2.0, 40.0), (0.1, 2.0, 4.0))
    assert told.facts == [
        {"tags": 2, "sampling": "0.1 s to 1 s", "shorter_queues": 2, "queue": "10 to 5"},
        {"tags": 3, "sampling": "0.1 s to 2 s"},
        {"lifetime": "40 s to 4 s"},
    ]
