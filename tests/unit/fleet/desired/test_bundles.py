"""What boxes deliver: only what was asked for, whole, and no more than there is room for."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import bundles, commands
from forebay_fleet.desired.signing import Signer
from forebay_fleet.identity import gateways
from forebay_fleet.identity.gateways import GatewayRow
from forebay_fleet.identity.refused import Refused
from forebay_fleet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DATA = b"x" * 1_000
ID = "a" * 16


def first(data: bytes = DATA, size: int | None = None, **fields: str) -> fleet_pb2.DeliverRequest:
    return fleet_pb2.DeliverRequest(
        command_id=fields.get("id", ID),
        sha256=hashlib.sha256(DATA).digest(),
        size_bytes=len(DATA) if size is None else size,
        data=data,
    )


async def rest(*parts: bytes) -> AsyncIterator[fleet_pb2.DeliverRequest]:
    for part in parts:
        yield fleet_pb2.DeliverRequest(data=part)


async def keep(kept: bundles.Bundles, message: fleet_pb2.DeliverRequest, *parts: bytes) -> None:
    await kept.keep(bundles.wanted("gw-1", message), message, rest(*parts))


def files(data: Path) -> list[str]:
    return sorted(path.name for path in data.rglob("*") if path.is_file())


async def test_a_file_comes_in_parts_and_is_whole(tmp_path: Path) -> None:
    kept = bundles.Bundles(tmp_path)
    await keep(kept, first(DATA[:10]), DATA[10:400], DATA[400:])
    path = bundles.place(tmp_path, "gw-1", ID)
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o600
    await keep(kept, first())  # once more: its answer was lost
    assert files(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "parts", [(DATA[:10],), (DATA, b"y"), (DATA[:-1], b"y"), (b"",), (DATA[:5], b"x" * (300 << 10))]
)
async def test_what_is_not_what_was_announced_leaves_nothing(
    tmp_path: Path, parts: tuple[bytes, ...]
) -> None:
    with pytest.raises(Refused):
        await keep(bundles.Bundles(tmp_path), first(parts[0]), *parts[1:])
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "message",
    [
        first(size=0),
        first(size=bundles.MAX_BYTES + 1),
        first(id="../../../../etc/cron.d/x"),
        first(id=""),
        fleet_pb2.DeliverRequest(command_id=ID, size_bytes=1, sha256=b"short"),
    ],
    ids=["empty", "too large", "a path", "no id", "no hash"],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    message: fleet_pb2.DeliverRequest,
) -> None:
    with pytest.raises(Refused):
        bundles.wanted("gw-1", message)


async def test_one_at_a_time_of_a_gateway_and_one_that_hangs_up_leaves_its_place(
    tmp_path: Path,
) -> None:
    kept, came, go = bundles.Bundles(tmp_path), asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[fleet_pb2.DeliverRequest]:
        came.set()
        await go.wait()
        yield fleet_pb2.DeliverRequest(data=DATA[10:])

    message = first(DATA[:10])
    task = asyncio.create_task(kept.keep(bundles.wanted("gw-1", message), message, slow()))
    await came.wait()
    with pytest.raises(Refused, match="others"):
        await keep(kept, first())
    task.cancel()
    await asyncio.wait([task])
    assert files(tmp_path) == []
    await keep(kept, first())
    assert files(tmp_path) == [f"{ID}.tar.gz"]


async def test_the_oldest_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = bundles.Bundles(tmp_path)
    for number in range(bundles.MAX_KEPT + 3):
        name = f"{number:016d}"
        await keep(kept, first(id=name))
        os.utime(bundles.place(tmp_path, "gw-1", name), ns=(number, number))
    assert files(tmp_path)[0] == f"{3:016d}.tar.gz"
    assert len(files(tmp_path)) == bundles.MAX_KEPT
    monkeypatch.setattr(bundles, "MAX_FOLDER_BYTES", 2 * len(DATA))
    message = first(id="b" * 16)
    await kept.keep(bundles.wanted("gw-2", message), message, rest())
    assert files(tmp_path)[-1] == f"{'b' * 16}.tar.gz"
    assert len(files(tmp_path)) == 2


def test_only_what_was_asked_for_comes_in(tmp_path: Path) -> None:
    signer = Signer(ed25519.Ed25519PrivateKey.generate())
    with Registry(tmp_path) as registry:
        commands.prepare(registry)
        with registry.transaction() as db:
            gateways.put(db, GatewayRow("gw-1", b"k", 1, 0, b"k", b"c", 0, "", 0, 0, 0))
        for number, kind in enumerate(("bundle", "read")):
            command = fleet_pb2.Command(
                id=f"{number:016d}", gateway="gw-1", issuer="anna", not_after_ns=2_000
            )
            getattr(command, kind).SetInParent()
            commands.send(registry, signer, command, 1_000)

        def asked(number: int, gateway: str, now_ns: int) -> bool:
            what = bundles.wanted(gateway, first(id=f"{number:016d}"))
            return bundles.asked(registry, what, now_ns)

        assert asked(0, "gw-1", 1_500)
        assert not asked(0, "gw-2", 1_500), "another's command"
        assert not asked(0, "gw-1", 2_500), "its time is over"
        assert not asked(1, "gw-1", 1_500), "it asks for no bundle"
        assert not asked(7, "gw-1", 1_500)
