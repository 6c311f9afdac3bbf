"""Parcels of one part, in their order, as many at once as there are.

Owns what is asked of a consumer of JetStream. Must not know what parcels hold.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import nats.errors
import nats.js.errors
from nats.js import api

from forebay_fleet.stream.naming import MAX_PARCEL_BYTES, STREAM, consumer, subject

if TYPE_CHECKING:
    from typing import Self

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

    from forebay_fleet.stream.connecting import Line

AT_ONCE = 256
"""Messages of one request."""
AT_ONCE_BYTES = MAX_PARCEL_BYTES + (8 << 20)
EXPIRES_S = 5.0
"""How long a request stands, so that one that was lost with its server costs no more."""
ACK_WAIT_S = 120.0
"""After this a message whose ack was lost comes again."""
MAX_UNACKED = 4 * AT_ONCE


class Disordered(nats.errors.Error):
    """A message was lost on its way to this worker: it would come again, behind younger ones."""


class Puller:
    """`async with` makes the consumer anew: what another worker had and did not ack comes first."""

    def __init__(self, line: Line, part: int, release: asyncio.Event) -> None:
        """Touch nothing yet; `release` ends a wait."""
        self._line, self._part, self._release = line, part, release
        self._messages: deque[Msg] = deque(maxlen=MAX_UNACKED)  # the server sends no more
        self._more = asyncio.Event()
        self._open = self._seen = 0
        self._broken = ""
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        """Raise nats.errors.Error if JetStream does not answer."""
        name = consumer(self._part)
        with suppress(nats.js.errors.NotFoundError):
            await self._line.stream.delete_consumer(STREAM, name)
        await self._line.stream.add_consumer(
            STREAM,
            api.ConsumerConfig(
                durable_name=name,
                filter_subject=subject(self._part),
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_ack_pending=MAX_UNACKED,
            ),
        )
        self._inbox = self._line.client.new_inbox()
        self._subscription = await self._line.client.subscribe(
            self._inbox, cb=self._came, pending_bytes_limit=2 * AT_ONCE_BYTES
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._subscription is not None:
            with suppress(nats.errors.Error):
                await self._subscription.unsubscribe()

    async def next(self) -> list[Msg]:
        """Give the messages that are there, at least one; none if none came for a while.

        Raises:
            Disordered: their order is lost: give this up, and begin anew.
        """
        if self._broken:
            raise Disordered(self._broken)
        if not self._messages:
            await self._ask()
        found = [*self._messages]
        self._messages.clear()
        return found

    async def _ask(self) -> None:
        """Wait for messages, with a request that stands. Raises nats.errors.Error."""
        self._more.clear()
        if self._open <= 0:
            request = {
                "batch": AT_ONCE,
                "max_bytes": AT_ONCE_BYTES,
                "expires": round(EXPIRES_S * 1e9),
            }
            self._open = AT_ONCE
            await self._line.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer(self._part)}",
                json.dumps(request).encode(),
                reply=self._inbox,
            )
        waits = [
            asyncio.create_task(self._more.wait(), name="pull.more"),
            asyncio.create_task(self._release.wait(), name="pull.release"),
        ]
        try:
            done, _ = await asyncio.wait(
                waits, timeout=EXPIRES_S + 1.0, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            self._open = 0

    async def _came(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is None:
            self._open -= 1
            self._seen += 1
            if message.metadata.sequence.consumer != self._seen:
                self._broken = "a message was lost on its way"
            if not self._broken:
                self._messages.append(message)
        elif status == "503" or "Deleted" in headers.get("Description", ""):
            self._broken = "the consumer is gone"
        elif status != "100":  # a heartbeat; else the request has ended
            self._open = 0
        self._more.set()


async def acknowledge(messages: list[Msg]) -> None:
    """Say that messages are committed; what is lost of that comes again. Never raises for it."""
    with suppress(nats.errors.Error):
        for message in messages:
            await message.ack()
