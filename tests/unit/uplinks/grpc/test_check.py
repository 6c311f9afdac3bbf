"""Which faults of the files keep a gateway from starting; their words are in tests/cases/config."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from forebay.config.load import load
from forebay.errors import ConfigError
from forebay.files import SystemDisk
from forebay.identity import Identity, IdentityStore
from forebay.registry import Registry
from forebay.uplinks.grpc.config import GrpcSettings
from support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from forebay.config.load import LoadedConfig


def loaded(folder: Path, gateway: str, *, enabled: bool = True) -> LoadedConfig:
    """Load with a certificate for `press-hall-1` that expired long ago."""
    authority = Authority(folder)
    pair = authority.issue_from(
        "press-hall-1", datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC)
    )
    pair.key.chmod(0o600)
    (folder / "forebay.toml").write_text(
        f"""
[gateway]
id = "{gateway}"
[uplinks.cloud]
kind = "grpc"
enabled = {str(enabled).lower()}
address = "fleet.example.org:7443"
ca = "{authority.ca.name}"
cert = "{pair.cert.name}"
key = "{pair.key.name}"
""",
        "utf-8",
    )
    return load(folder / "forebay.toml", Registry(), {})


def test_an_expired_certificate_keeps_no_gateway_from_reading_its_devices(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, "press-hall-1").warnings
    assert str(warning).startswith("uplinks.cloud.cert: expired on 2002-01-01 (")


def test_a_certificate_of_another_gateway_does(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "press-hall-2")
    assert [fault.stops for fault in caught.value.faults] == [True, False]


def test_what_is_not_enabled_may_hold_anything(tmp_path: Path) -> None:
    assert loaded(tmp_path, "press-hall-2", enabled=False).warnings == ()


def enrolled(folder: Path, gateway: str | None) -> LoadedConfig:
    """Load with the identity of the fleet, enrolled as `gateway` or not at all."""
    if gateway is not None:
        identity = Identity(gateway, b"", "", "", 1, b"certificate", b"key", b"ca", b"bound")
        IdentityStore(folder / "state/fleet", SystemDisk()).replace(identity)
    (folder / "forebay.toml").write_text(
        """
[gateway]
id = "gw-1"
[uplinks.cloud]
kind = "grpc"
address = "fleet.example.org:7443"
identity = "fleet"
""",
        "utf-8",
    )
    return load(folder / "forebay.toml", Registry(), {"FOREBAY_STATE": str(folder / "state")})


def test_an_enrollment_may_come_later(tmp_path: Path) -> None:
    (note,) = enrolled(tmp_path, None).warnings
    assert str(note).startswith("uplinks.cloud.identity: this box is not enrolled yet (forebay")
    assert (note.awaited, note.stops) == (True, False)


def test_the_identity_is_that_of_the_state_directory(tmp_path: Path) -> None:
    loaded = enrolled(tmp_path, "gw-1")
    assert loaded.warnings == ()
    settings = loaded.uplinks[0].settings
    assert isinstance(settings, GrpcSettings)
    assert settings.identity == tmp_path / "state/fleet"


def test_enrolled_as_another_gateway(tmp_path: Path) -> None:
    (warning,) = enrolled(tmp_path, "gw-2").warnings
    assert "enrolled as 'gw-2', and gateway.id is 'gw-1'" in str(warning)
    assert (warning.awaited, warning.stops) == (False, False)


def test_an_identity_that_is_damaged(tmp_path: Path) -> None:
    enrolled(tmp_path, "gw-1")
    (tmp_path / "state/fleet/identity.json").write_bytes(b"{}")
    (warning,) = enrolled(tmp_path, None).warnings
    assert "damaged" in str(warning)
    assert not warning.stops
