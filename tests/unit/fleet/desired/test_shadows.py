"""Last values of boxes at the server: all of a full report and no more, and only what is sound."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import psycopg
from structlog.testing import capture_logs

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.db import place
from forebay_fleet.desired import shadows
from forebay_fleet.desired.shadows import Shadowing, Shadows

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


Message = fleet_pb2.AgentToServer


def said(*tags: str, full: bool = False, complete: bool = False, value: int = 1) -> Message:
    made = fleet_pb2.AgentToServer()
    made.shadow.full, made.shadow.complete = full, complete
    for tag in tags:
        made.shadow.values.add(device="press", tag=tag, uint_value=value)
    return made


def known(directory: Path, gateway: str = "gw-1", pattern: str = "*") -> dict[str, int]:
    found = shadows.values(directory, gateway, pattern)
    return {f"{one.device}/{one.tag}": one.uint_value for one in found}


def drop(directory: Path) -> None:
    url = place.address(directory)
    if url is None:
        with closing(apsw.Connection(str(directory / shadows.FILE))) as db:
            db.execute("DROP TABLE shadows")
    else:
        with psycopg.connect(url) as connection:
            connection.execute(f"DROP TABLE {shadows.SCHEMA}.shadows".encode())


async def test_a_full_report_forgets_what_is_not_in_it(data: Path) -> None:
    async with Shadows(data) as kept:
        box, other = Shadowing(kept, "gw-1"), Shadowing(kept, "gw-2")
        await other.take(said("x", full=True, complete=True))
        await box.take(said("a", "b", full=True))
        await box.take(said("c", complete=True))
        await box.take(said("b", value=2))
        assert known(data) == {"press/a": 1, "press/b": 2, "press/c": 1}
        await box.take(said("b", full=True, value=3))
        assert known(data) == {"press/a": 1, "press/b": 3, "press/c": 1}  # it is not over
        await box.take(said("d", complete=True))
        assert known(data) == {"press/b": 3, "press/d": 1}
        # The same by another stream, as after a break.
        await Shadowing(kept, "gw-1").take(said("e", full=True, complete=True))
        assert known(data) == {"press/e": 1}
        assert known(data, "gw-2") == {"press/x": 1}


async def test_patterns_know_stars_and_nothing_else(data: Path) -> None:
    async with Shadows(data) as kept:
        await Shadowing(kept, "gw-1").take(said("t1", "t2", "u[1]", full=True, complete=True))
        assert set(known(data, pattern="press/t?")) == {"press/t1", "press/t2"}
        assert set(known(data, pattern="*u[1]")) == {"press/u[1]"}
        assert known(data, pattern="' OR 1=1") == {}
    assert known(data / "nowhere") == {}


async def test_what_no_box_says_is_passed_over(data: Path) -> None:
    async with Shadows(data) as kept:
        hostile = said("good", full=True, complete=True)
        hostile.shadow.values.add(device="", tag="t")
        hostile.shadow.values.add(device="d", tag="t" * 257)
        hostile.shadow.values.add(device="d", tag="u", unit="x" * 65)
        hostile.shadow.values.add(device="d", tag="s", string_value="é" * 129)
        await Shadowing(kept, "gw-1").take(hostile)
        assert known(data) == {"press/good": 1}


async def test_a_box_cannot_fill_the_disk_with_names(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MAX_VALUES", 10)
    async with Shadows(data) as kept:
        box = Shadowing(kept, "gw-1")
        for turn in range(5):
            await box.take(said(*(f"t{turn}-{one}" for one in range(8))))
        assert len(known(data)) == 10
        more = said(*(f"n{one}" for one in range(shadows.MAX_AT_ONCE + 5)))
        monkeypatch.setattr(shadows, "MAX_VALUES", 100_000)
        await box.take(more)
        assert len(known(data)) == 10 + shadows.MAX_AT_ONCE


async def test_a_damaged_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / shadows.FILE).write_bytes(b"no database at all" * 1_000)
    async with Shadows(tmp_path) as kept:
        await Shadowing(kept, "gw-1").take(said("a", full=True, complete=True))
        assert known(tmp_path) == {"press/a": 1}


async def test_what_cannot_be_kept_is_told_once_and_ends_nothing(data: Path) -> None:
    async with Shadows(data) as kept:
        box = Shadowing(kept, "gw-1")
        drop(data)
        with capture_logs() as logs:
            await box.take(said("a"))
            await box.take(said("b"))
        assert [one["event"] for one in logs] == ["shadows_failed"]
