"""REST of values as they come: server-sent events (HTML Living Standard, 9.2).

Owns events, how often is looked, and how many may look. Must not know where values are.

A reader that takes long to take what it was sent is looked for later, so nothing waits for it here.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Annotated

from fastapi import Header, Query, Request
from fastapi.responses import StreamingResponse

from forebay_fleet._proto import uplink_pb2
from forebay_fleet.access.http import still
from forebay_fleet.errors import FleetError, StoreError, UsageError
from forebay_fleet.http.parts import begun
from forebay_fleet.http.problems import TOLD
from forebay_fleet.values.asking import Asked
from forebay_fleet.values.selecting import MOST_PATTERN
from forebay_fleet.values.tailing import Look, Missed, Tail
from forebay_fleet.values.telling import document, told

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from fastapi import APIRouter

    from forebay_fleet.http.context import Context

MOST_AT_ONCE = 64
LOOK_S = 0.5
QUIET_S = 15.0
"""After so long a comment is sent, which keeps proxies from closing, and finds who has gone."""
ASKED_S = 5.0
"""How often is asked whether the session, or the token, is still good."""
_PLACE = re.compile(r"(\d{1,2}):([0-9a-f]{16})/(\d{1,19})")
MOST_STREAMS = 16


def add_to(router: APIRouter, context: Context) -> None:
    """Add the route."""
    lives = Lives(context)

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
    ) -> StreamingResponse:
        """Give values as they are committed: events `values`, and `missed` for who is too slow."""
        tail = Tail(Asked(name, tag), places(last_event_id))
        events = await lives.open(tail, request)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(events, 200, headers, "text/event-stream")


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


class Lives:
    """All that look at one server."""

    def __init__(self, context: Context) -> None:
        """Look by the readers of `context`."""
        self._context = context
        self._open = 0

    async def open(self, tail: Tail, request: Request) -> AsyncGenerator[bytes]:
        """Give events without an end; the first look is taken before this returns.

        Raises:
            StoreError: too many look already.
            UsageError, DecodingError: see `Tail.look`.
        """
        if self._open >= MOST_AT_ONCE:
            raise StoreError(f"{MOST_AT_ONCE} look already", hint="ask for ranges now and then")
        return await begun(self._events(tail, request))

    async def _events(self, tail: Tail, request: Request) -> AsyncGenerator[bytes]:
        self._open += 1
        loop = asyncio.get_running_loop()
        said_s = 0.0
        try:
            look = await self._context.readers(tail.look)
            yield b": open\n\n" + _told(tail, look)
            said_s = asked_s = loop.time()
            while not self._context.desk.stopping.is_set():
                if not look.more:
                    await asyncio.sleep(LOOK_S)
                look = await self._context.readers(tail.look)
                event = _told(tail, look)
                if loop.time() - asked_s > ASKED_S:
                    if await still(request, self._context.registry) is None:
                        return  # the session has ended, or the token
                    asked_s = loop.time()
                if not event and loop.time() - said_s > QUIET_S:
                    event = b": still here\n\n"
                if event:
                    yield event
                    said_s = loop.time()
        except FleetError as error:
            if not said_s:
                raise
            yield _event("", "failed", {"title": str(error), "hint": error.hint})
        finally:
            self._open -= 1


def _told(tail: Tail, look: Look) -> bytes:
    """Give the events of one look, none if nothing is new."""
    at = ",".join(f"{n}:{epoch:016x}/{seq}" for n, (epoch, seq) in sorted(tail.at.items()))
    events = [_event("", "missed", _missed(one)) for one in look.missed]
    if look.fresh:
        series = [
            {"tag": one.tag, "unit": one.unit, "values": [told(value) for value in one.values]}
            for one in look.fresh
        ]
        events.append(_event(at, "values", {"series": series}))
    return b"".join(events)


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
