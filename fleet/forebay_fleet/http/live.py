"""REST of values as they come: server-sent events (HTML Living Standard, 9.2).

Owns events. Must not know where values are.
"""

from __future__ import annotations

import re
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

from fastapi import Header, Query, Request
from fastapi.responses import StreamingResponse

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.access.http import Denied, still
from forebay_fleet.errors import FleetError, UsageError
from forebay_fleet.http.problems import TOLD
from forebay_fleet.http.streaming import Streamed
from forebay_fleet.values.asking import Asked
from forebay_fleet.values.selecting import MOST_PATTERN
from forebay_fleet.values.tailing import Missed, Tail
from forebay_fleet.values.telling import document, told

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fastapi import APIRouter

    from forebay_fleet.http.context import Context
    from forebay_fleet.values.tailing import Look

_PLACE = re.compile(r"(\d{1,2}):([0-9a-f]{16})/(\d{1,19})")
MOST_STREAMS = 16
PART_BYTES = 64 << 10
"""What is handed over at once: who takes it slowly has little of it waiting in buffers."""


def add_to(router: APIRouter, context: Context) -> None:
    """Add the route."""

    @router.get(
        "/live",
        responses={200: {"content": {"text/event-stream": {}}}, **TOLD},
        response_class=StreamingResponse,
    )
    async def live(
        name: str,
        tag: Annotated[
            str, Query(max_length=MOST_PATTERN, description="DEVICE/TAG, or a pattern.")
        ],
        request: Request,
        last_event_id: Annotated[str | None, Header(max_length=1000)] = None,
    ) -> Streamed:
        """Give values as they are committed: events `values`, and `missed` for who is too slow."""
        tail = Tail(Asked(name, tag), places(last_event_id))

        async def may() -> None:
            if await still(request, context.registry) is None:
                raise Denied(401, "the session has ended, or the token", "sign in again")

        events = _events(await context.offer.lives.open(tail, _told, may))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return Streamed(events, 200, headers, "text/event-stream")


def places(text: str | None) -> dict[int, tuple[int, int]]:
    """Read the id of an event, STREAM:EPOCH/SEQ, with commas between them.

    Raises:
        UsageError: it is none.
    """
    found: dict[int, tuple[int, int]] = {}
    for part in (text or "").split(",")[:MOST_STREAMS] if text else ():
        match = _PLACE.fullmatch(part)
        if match is None:
            raise UsageError(f"{part[:60]!r} is no id of an event", hint="leave Last-Event-ID out")
        found[int(match[1])] = (int(match[2], 16), int(match[3]))
    return found


async def _events(looks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Give events without an end; why they end is one too."""
    async with aclosing(looks):
        try:
            async for told in looks:
                for first in range(0, len(told), PART_BYTES):
                    yield told[first : first + PART_BYTES]
        except Denied:
            return
        except FleetError as error:
            yield _event("", "failed", {"title": str(error), "hint": error.hint})


def _told(tail: Tail, look: Look) -> bytes:
    """Give the events of one look, a comment if nothing is new: proxies close what is silent."""
    at = ",".join(f"{n}:{epoch:016x}/{seq}" for n, (epoch, seq) in sorted(tail.at.items()))
    events = [_event("", "missed", _missed(one)) for one in look.missed]
    if look.fresh:
        series = [
            {"tag": one.tag, "unit": one.unit, "values": [told(value) for value in one.values]}
            for one in look.fresh
        ]
        events.append(_event(at, "values", {"series": series}))
    return b"".join(events) or b": open\n\n"


def _missed(one: Missed) -> dict[str, object]:
    """Say what was left out: it is in the store, and can be asked for."""
    return {
        "stream": uplink_pb2.Stream.Name(one.stream).lower(),
        "epoch": f"{one.epoch:016x}",
        "first": one.first,
        "last": one.last,
    }


def _event(number: str, name: str, data: object) -> bytes:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: ".encode() + document(data) + b"\n\n"
