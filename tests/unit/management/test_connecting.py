"""A candidate that is reached: whether it becomes the box's own way is decided by its streams."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay._proto import fleet_pb2 as pb
from forebay.identity import FOLDER, Identity, IdentityStore
from forebay.management import asking
from forebay.management.connecting import ANSWERS, Connecting
from forebay.management.events import FLEET_MOVE_FAILED, FLEET_MOVED
from forebay.model import ClockState
from support.forwarding import HurryingClock, make_seams
from support.processes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
OFFER = pb.ConnectionSettings(
    gateway="gw-1", offer_id="o", address="new:1", version=5, expires_ns=(1 << 63) - 1
)


def signed() -> pb.Signed:
    payload = OFFER.SerializeToString(deterministic=True)
    message = b"forebay connection v1\0" + payload
    key_id = hashlib.sha256(KEY.public_key().public_bytes_raw()).digest()[:8]
    signature = pb.Signature(key_id=key_id, signature=KEY.sign(message))
    return pb.Signed(kind="connection", payload=payload, signatures=[signature])


class Box:
    """One box that has a stream by `old:1`; `stream` is what comes of the next one."""

    def __init__(self, folder: Path, speed: float) -> None:
        self.seams = make_seams(HurryingClock(speed))
        self.store = IdentityStore(folder / FOLDER, self.seams.disk)
        keys = (KEY.public_key().public_bytes_raw(),)
        self.identity = Identity(
            "gw-1", b"i" * 16, "old:1", "old:2", 1, b"c", b"k", b"a", b"b", signing_keys=keys
        )
        self.store.replace(self.identity)
        self.renewal = SimpleNamespace(identity=self.identity)
        anchors = SimpleNamespace(state=ClockState.SYNCED)
        runtime = SimpleNamespace(
            loaded=SimpleNamespace(state=folder), pipeline=SimpleNamespace(anchors=anchors)
        )
        given: Any = (SimpleNamespace(attempts=list), self.renewal, runtime, self.seams)
        self.connecting = Connecting(*given)
        self.connecting.why = lambda: "UNAVAILABLE: closed"

    @property
    def way(self) -> Identity:
        """By what the next stream is opened."""
        return self.connecting.by(self.renewal.identity)

    async def stream(self, answers: int, offer: pb.Signed | None = None) -> None:
        """Open one by the way of now, hear so many answers, and lose it."""
        way = self.way
        self.connecting.report(pb.AgentToServer(), full=True)
        for _ in range(answers):
            await self.connecting.take(pb.ServerToAgent(connection=offer), way)

    def said(self) -> pb.ConnectionStatus:
        """What a new stream is told of the offer."""
        message = pb.AgentToServer()
        self.connecting.report(message, full=True)
        return message.connection


@asynccontextmanager
async def offered(
    folder: Path, monkeypatch: pytest.MonkeyPatch, speed: float
) -> AsyncIterator[Box]:
    """A box that was offered `new:1`, and reached it; its clock goes `speed` times as fast."""

    async def reach(_: Identity) -> None:
        """Whoever is called there knows this box."""

    monkeypatch.setattr(asking, "reach", reach)
    box = Box(folder, speed)
    running = asyncio.create_task(box.connecting.run(), name="connecting")
    try:
        await box.stream(1, signed())
        await until(lambda: box.way.address == "new:1", "it tries it")
        yield box
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("streams", [(), (0,), (ANSWERS - 1, ANSWERS - 1)])
async def test_one_that_is_reached_and_holds_no_stream_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streams: tuple[int, ...]
) -> None:
    async with offered(tmp_path, monkeypatch, 40) as box:
        for answers in streams:
            await box.stream(answers)
        assert box.store.current() == box.identity  # nothing on disk names it meanwhile
        await until(lambda: box.said().error, "it is given up")
        assert (box.said().offer_id, box.said().applied) == ("o", False)
        assert box.said().error.startswith("no stream held by new:1 for 60 s: UNAVAILABLE")
        assert (box.way, box.store.current()) == (box.identity, box.identity)
        assert box.seams.events.count(FLEET_MOVE_FAILED) == 1
        await box.stream(ANSWERS, signed())  # by the old way, where the same is offered again
        await until(lambda: box.said().error, "it says so again")
        assert box.way == box.identity
        assert (box.seams.events.count(FLEET_MOVE_FAILED), box.store.current()) == (1, box.identity)


async def test_one_stream_with_answers_makes_it_the_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with offered(tmp_path, monkeypatch, 1) as box:
        await box.stream(ANSWERS - 1)
        await box.stream(ANSWERS)
        await until(lambda: box.said().applied, "it is kept")
        kept = box.store.current()
        assert kept is not None
        assert (kept.address, box.way, box.renewal.identity) == ("new:1", kept, kept)
        assert box.seams.events.count(FLEET_MOVED) == 1
