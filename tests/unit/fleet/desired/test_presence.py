"""Which of several servers has a box: the last one says that it is gone, or falls silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forebay_fleet.desired import presence, reports, states
from forebay_fleet.errors import StoreFailed
from forebay_fleet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A, B = "server-a", "server-b"
SECOND_NS = 10**9


@pytest.fixture
def registry(data: Path) -> Iterator[Registry]:
    with Registry(data) as opened:
        states.prepare(opened)
        presence.begin(opened, A, 0)
        presence.begin(opened, B, 0)
        yield opened


def says(registry: Registry, server: str, gateway: str, *, here: bool) -> None:
    reports.note(registry, reports.Report(gateway, int(here), 1, "", b"", b""), server)


def online(registry: Registry) -> list[str]:
    return sorted(name for name, one in reports.every(registry).items() if one.online)


def test_a_server_that_notices_late_takes_nobody_away(registry: Registry) -> None:
    says(registry, A, "gw-1", here=True)
    says(registry, B, "gw-1", here=True)
    says(registry, A, "gw-1", here=False)
    assert online(registry) == ["gw-1"]
    says(registry, B, "gw-1", here=False)
    assert online(registry) == []


def test_a_server_that_starts_again_forgets_its_own_alone(registry: Registry) -> None:
    says(registry, A, "gw-1", here=True)
    says(registry, B, "gw-2", here=True)
    presence.begin(registry, A, SECOND_NS)
    assert online(registry) == ["gw-2"]


def test_boxes_of_a_server_that_is_silent_are_offline(registry: Registry) -> None:
    says(registry, A, "gw-1", here=True)
    says(registry, B, "gw-2", here=True)
    assert presence.beat(registry, A, 50 * SECOND_NS) == []
    assert presence.beat(registry, A, 70 * SECOND_NS) == [B]
    assert online(registry) == ["gw-1"]
    says(registry, B, "gw-2", here=True)  # it only was slow
    assert presence.beat(registry, B, 71 * SECOND_NS) == []
    assert online(registry) == ["gw-1", "gw-2"]


def test_a_registry_of_before_has_nobody_online_at_a_start(registry: Registry) -> None:
    says(registry, A, "gw-1", here=True)
    with registry.transaction() as db:
        db.execute("DELETE FROM presence")
    presence.begin(registry, B, SECOND_NS)
    assert online(registry) == []


def test_the_name_of_a_server_is_made_once(tmp_path: Path) -> None:
    name = presence.server_name(tmp_path / "data")
    assert len(name) == 16
    assert presence.server_name(tmp_path / "data") == name
    assert presence.server_name(tmp_path) != name
    (tmp_path / "file").touch()
    with pytest.raises(StoreFailed):
        presence.server_name(tmp_path / "file")
