"""What the server renews of its signatures, and what it can only tell people of."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from forebay_fleet.artifacts import keeping
from support.packages import DAY_S, YEAR_S, Signers, archive

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("valid_s", "told"), [(20 * DAY_S, ["root", "targets"]), (YEAR_S, [])])
async def test_people_are_told_once_a_day_before_what_they_signed_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valid_s: float, told: list[str]
) -> None:
    signers = Signers(tmp_path / "people", tmp_path / "data", valid_s)
    made = archive(tmp_path / "1.tar.gz", {"x": b"1"})
    signers.repository.add(made, "plugin", "echo", "1", valid_s)
    signers.sign()
    signers.published.publish(signers.repository)
    monkeypatch.setattr(keeping, "LOOK_S", 0.01)
    looks, stopping = 0, asyncio.Event()
    ending = signers.published.ending

    def looked(within_s: float) -> object:
        nonlocal looks
        looks += 1
        if looks == 3:
            loop.call_soon_threadsafe(stopping.set)
        return ending(within_s)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(signers.published, "ending", looked)
    with capture_logs() as logs:
        await asyncio.wait_for(keeping.keep(signers.published, stopping), 60)
    ends = [one for one in logs if one["event"] == "artifacts_end"]
    assert [one["role"] for one in ends] == told
    assert all(one["hint"] for one in ends)
