"""What is begun of the states that a server sends again and again."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay._proto import fleet_pb2 as box_pb
from forebay.config.attempts import Attempt, Offer, Phase
from forebay.errors import FleetUnavailable, RequestFailed
from forebay.identity import FOLDER, Identity
from forebay.management.book import MAX_ATTEMPTS
from forebay.management.desired import Desired
from forebay.model import ClockState
from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import states
from forebay_fleet.desired.signing import Signer
from support.forwarding import make_seams
from support.packages import NoPackages

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.interfaces import Seams

DAY_NS = 86_400 * 10**9


class Remembering:
    """A rollout that remembers as many attempts as the real one, each at its end."""

    def __init__(self) -> None:
        self.known: list[Attempt] = []
        self.full = False

    def attempts(self) -> tuple[Attempt, ...]:
        """See `Rolling.attempts`."""
        return tuple(self.known)

    async def offer(self, offer: Offer) -> int:
        """See `Rolling.offer`."""
        if self.full:
            raise RequestFailed("the disk is full", hint="")
        number = self.known[-1].id + 1 if self.known else 1
        attempt = Attempt(number, "aa", offer.offer_id, offer.source, "", "", Phase.COMMITTED, 0)
        self.known = [*self.known, attempt][-MAX_ATTEMPTS:]
        return number


class Nowhere:
    """Where nothing is fetched from."""

    async def content(self, sha256: bytes, size_bytes: int) -> bytes:
        """See `Source.content`."""
        raise FleetUnavailable(f"{size_bytes} bytes {sha256.hex()}", hint="")

    async def to_file(self, sha256: bytes, size_bytes: int, path: Path) -> None:
        """See `Source.to_file`."""
        raise FleetUnavailable(f"{size_bytes} bytes {sha256.hex()} to {path}", hint="")

    async def metadata(self, name: str, max_bytes: int) -> bytes:
        """See `Source.metadata`."""
        raise FleetUnavailable(f"{name}, {max_bytes} bytes at most", hint="")


def state_of(signer: Signer, seams: Seams) -> box_pb.Signed:
    """Give a state of one file, signed."""
    now_ns = seams.clock.now_ns()
    contents = {"forebay.toml": b"x"}
    state = fleet_pb2.DesiredState(
        gateway="gw-1", version=7, offer_id="offer-7", issued_ns=now_ns,
        expires_ns=now_ns + DAY_NS, config_hash=states.config_hash(contents),
    )  # fmt: skip
    state.files.add(path="forebay.toml", sha256=sha256(b"x").digest(), size_bytes=1)
    signed = signer.sign(states.KIND, state.SerializeToString())
    return box_pb.Signed.FromString(signed.SerializeToString())


class Standing:
    """Needs that come by a line that stands still, and at once by hand."""

    def __init__(self) -> None:
        self.waits, self.given_up = asyncio.Event(), False

    async def ready(
        self, state: box_pb.DesiredState, identity: Identity, source: Any, _: int
    ) -> None:
        """See `Packages.ready`."""
        if isinstance(source, Nowhere):
            self.waits.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up = True


class Stick:
    """Where all is that a person brought."""

    async def content(self, sha256: bytes, size_bytes: int) -> bytes:
        """See `Source.content`."""
        return b"x"


async def test_a_line_that_stands_still_does_not_keep_a_person_waiting(tmp_path: Path) -> None:
    signer, seams = Signer(ed25519.Ed25519PrivateKey.generate()), make_seams()
    (tmp_path / FOLDER).mkdir()
    anchors = SimpleNamespace(state=ClockState.SYNCED)
    runtime = SimpleNamespace(pipeline=SimpleNamespace(anchors=anchors))
    identity = Identity(
        "gw-1", bytes(16), "a:1", "a:2", 1, b"", b"", b"", b"", signing_keys=(signer.public,)
    )
    needs, signed = Standing(), state_of(signer, seams)
    desired = Desired(tmp_path, cast("Any", Remembering()), needs, cast("Any", runtime), seams)
    by_line = asyncio.create_task(desired.take(signed, identity, Nowhere()), name="by line")
    await needs.waits.wait()
    stick = cast("Any", Stick())
    async with asyncio.timeout(30):
        assert await desired.take(signed, identity, stick, by="uid:0") == 1
        with pytest.raises(FleetUnavailable, match="a person"):  # so that it is tried again
            await by_line
    assert needs.given_up


async def test_what_was_begun_once_does_not_come_back_when_the_history_has_forgotten_it(
    tmp_path: Path,
) -> None:
    """A person at the box has applied so much since; the server sends its newest each time."""
    signer, seams, rolling = (
        Signer(ed25519.Ed25519PrivateKey.generate()),
        make_seams(),
        Remembering(),
    )
    (tmp_path / FOLDER).mkdir()
    anchors = SimpleNamespace(state=ClockState.SYNCED)
    runtime = SimpleNamespace(pipeline=SimpleNamespace(anchors=anchors))
    identity = Identity(
        "gw-1", bytes(16), "a:1", "a:2", 1, b"", b"", b"", b"", signing_keys=(signer.public,)
    )
    signed = state_of(signer, seams)

    def desired() -> Desired:
        return Desired(tmp_path, cast("Any", rolling), NoPackages(), cast("Any", runtime), seams)

    rolling.full = True
    with pytest.raises(RequestFailed):
        await desired().take(signed, identity, Nowhere())
    rolling.full = False
    assert await desired().take(signed, identity, Nowhere()) == 1, "it was not begun yet"
    for number in range(MAX_ATTEMPTS):
        await rolling.offer(Offer((), Nowhere().content, f"local-{number}", "local"))  # type: ignore[arg-type]
    assert await desired().take(signed, identity, Nowhere()) == 0
    assert await desired().take(signed, identity, Nowhere(), by="uid:0") > MAX_ATTEMPTS, "by hand"
