"""Who wakes the streams of boxes: soon, but not at the price of everything else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from forebay_fleet.desired import hub, states
from forebay_fleet.desired.hub import MOST_TURNS, Hub, turns
from forebay_fleet.registry import Registry, RegistryThread
from support.processes import until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("took_s", "found"), [(0.0, 1), (0.01, 1), (0.1, 1), (0.2, 2), (0.55, 6), (30.0, MOST_TURNS)]
)
def test_looking_takes_a_tenth_of_the_time(took_s: float, found: int) -> None:
    assert turns(took_s) == found


async def test_who_has_something_new_is_woken_however_long_looking_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "LOOK_S", 0.01)
    monkeypatch.setattr(hub, "turns", lambda _: 3)
    async with RegistryThread(tmp_path) as registry:
        here = Hub(registry, asyncio.Event())
        await here.open()
        mine, other = here.enter("gw-1"), here.enter("gw-2")
        watching = asyncio.create_task(here.watch(), name="watching")
        try:
            for version in (1, 2):
                mine.clear()
                other.clear()
                await registry(partial(_tell, gateway="gw-1", version=version))
                await until(mine.is_set, "it is woken")
                assert not other.is_set()
                assert await registry(states.versions) == {"gw-1": version}
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


def _tell(registry: Registry, gateway: str, version: int) -> None:
    with registry.transaction() as db:
        db.execute("DELETE FROM desired WHERE gateway = ?", (gateway,))
        db.execute(
            "INSERT INTO desired VALUES (?, ?, 'o', ?, 1, 2, ?)", (gateway, version, b"h", b"s")
        )
