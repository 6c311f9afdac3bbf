"""Which faults of the files keep a gateway from starting; their words are in tests/cases/config."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from forebay.config.load import load
from forebay.errors import ConfigError
from forebay.registry import Registry
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
