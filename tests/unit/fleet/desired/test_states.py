"""What each gateway is to run, who may fetch what of it, and what it said last."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import pytest

from forebay_fleet._proto import fleet_pb2
from forebay_fleet.desired import folder, presence, reports, signing, states
from forebay_fleet.errors import StoreError, UsageError
from forebay_fleet.identity import gateways
from forebay_fleet.identity.gateways import GatewayRow
from forebay_fleet.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OFFER = states.Offer("anna", "why", 1_000, 2_000)
MAIN = b"[gateway]\nid = 'gw-1'\n"


@pytest.fixture
def registry(data: Path) -> Iterator[Registry]:
    with Registry(data) as opened:
        states.prepare(opened)
        for name in ("gw-1", "gw-2"):
            row = GatewayRow(name, b"k", 1, 0, b"k", b"c", 0, "", 0, 0, 0)
            with opened.transaction() as db:
                gateways.put(db, row)
        yield opened


def test_versions_go_up_and_each_push_is_another_offer(registry: Registry, tmp_path: Path) -> None:
    signer = signing.load(tmp_path)
    first = states.push(registry, signer, "gw-1", {"forebay.toml": MAIN}, OFFER)
    second = states.push(registry, signer, "gw-1", {"forebay.toml": MAIN}, OFFER)
    assert (first.version, second.version, first.hash) == (1, 2, second.hash)
    assert first.offer_id != second.offer_id
    found = states.newest(registry, "gw-1")
    assert found is not None
    state = fleet_pb2.DesiredState.FromString(fleet_pb2.Signed.FromString(found[1]).payload)
    assert (state.gateway, state.version, state.issuer) == ("gw-1", 2, "anna")
    assert (state.issued_ns, state.expires_ns) == (1_000, 2_000)
    assert states.newest(registry, "gw-2") is None
    assert states.versions(registry) == {"gw-1": 2}


def test_only_a_gateway_that_is_told_of_a_content_has_it(
    registry: Registry, tmp_path: Path
) -> None:
    signer, big = signing.load(tmp_path), bytes(range(256)) * 10
    contents = {"forebay.toml": MAIN, "big.csv": big}
    states.push(registry, signer, "gw-1", contents, OFFER)
    key = hashlib.sha256(big).digest()
    assert states.part(registry, "gw-1", key, 0, 100) == (2_560, big[:100])
    assert states.part(registry, "gw-1", key, 2_500, 100) == (2_560, big[2_500:])
    assert states.part(registry, "gw-1", key, 9_999, 100) == (2_560, b"")
    assert states.part(registry, "gw-2", key, 0, 100) is None
    states.push(registry, signer, "gw-1", {"forebay.toml": MAIN}, OFFER)
    assert states.part(registry, "gw-1", key, 0, 100) is None
    assert len(registry.rows("SELECT sha256 FROM contents")) == 1, "what nobody needs is dropped"


def test_nobody_is_told_who_is_not_enrolled_or_is_revoked(
    registry: Registry, tmp_path: Path
) -> None:
    gateways.revoke(registry, "gw-2", "stolen", 1)
    for name in ("gw-2", "gw-3"):
        with pytest.raises(UsageError):
            states.push(registry, signing.load(tmp_path), name, {"forebay.toml": MAIN}, OFFER)


def test_the_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    made = signing.load(tmp_path)
    assert signing.load(tmp_path).public == made.public
    assert stat.S_IMODE((tmp_path / signing.FILE).stat().st_mode) == 0o600
    (tmp_path / signing.FILE).write_text("no key")
    with pytest.raises(StoreError):
        signing.load(tmp_path)


def test_a_report_without_a_part_leaves_what_was_said_before(registry: Registry) -> None:
    reports.note(registry, reports.Report("gw-1", 1, 5, "1.0", b"h", b"c"))
    reports.note(registry, reports.Report("gw-1", 1, 6, "", b"i", b""))
    assert reports.every(registry)["gw-1"] == ("gw-1", 1, 6, "1.0", b"i", b"c")
    presence.begin(registry, "", 7)
    assert reports.every(registry)["gw-1"].online == 0


def test_of_a_main_file_the_files_that_it_names_go_along(tmp_path: Path) -> None:
    (tmp_path / "forebay.toml").write_text('tags = "./press.csv"\nother = "nothing.csv"\n')
    (tmp_path / "press.csv").write_text("name\n")
    (tmp_path / "stray.csv").write_text("x")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "b.toml").write_text("x = 1\n")
    named = {"forebay.toml", "press.csv", "conf.d/b.toml"}
    assert set(folder.read(tmp_path / "forebay.toml")) == named
    assert set(folder.read(tmp_path)) == {*named, "stray.csv"}


def test_what_no_box_would_take_is_not_pushed(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        folder.read(tmp_path)
    (tmp_path / "forebay.toml").write_text("x = 1\n")
    (tmp_path / ".secret").write_text("x")
    with pytest.raises(UsageError):
        folder.read(tmp_path)
    with pytest.raises(UsageError):
        folder.read(tmp_path / "none" / "forebay.toml")
