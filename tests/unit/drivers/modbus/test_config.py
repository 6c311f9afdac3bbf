"""What a person may write about a Modbus device, and what is said when it cannot be."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import forebay.drivers.modbus
from forebay.drivers.modbus import SPEC
from forebay.drivers.modbus.config import ModbusSettings


@pytest.mark.parametrize(
    "settings",
    [
        {"unit": 256},
        {"port": 0},
        {"pipeline": 17},
        {"max_registers": 126},
        {"max_bits": 2001},
        {"order": "AB"},
        {"host": ""},
    ],
)
def test_settings_outside_the_protocol_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModbusSettings(**{"protocol": "modbus", "host": "plc", "tags": (), **settings})


def test_the_sample_is_valid() -> None:
    folder = Path(forebay.drivers.modbus.__file__).parent
    sample = tomllib.loads((folder / "sample.toml").read_text(encoding="utf-8"))
    assert sample["devices"]
    for device in sample["devices"].values():
        settings = SPEC.settings(**device)
        assert isinstance(settings.tags, tuple)
        groups = {SPEC.tag(**row).group for row in settings.tags}
        assert groups <= settings.groups.keys()
