"""Looking adapters up: what is said when one is not there, not whole, or lacks its library."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from forebay.errors import ConfigError
from forebay.registry import DRIVERS, STAGES, UPLINKS, Registry
from support import fake_adapters
from support.fake_adapters import FakeRegistry

LACKING = replace(fake_adapters.FAKE, requires={"json": "core", "no_such_module": "fake"})


class BrokenRegistry(FakeRegistry):
    """Has entry points of packages that are no longer whole."""

    def __init__(self) -> None:
        super().__init__()
        for name, value in (
            ("gone", "no_such_module:SPEC"),
            ("empty", "json:SPEC"),
            ("lacking", f"{__name__}:LACKING"),
        ):
            self._found[DRIVERS][name] = EntryPoint(name, value, DRIVERS)


def fault(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        BrokenRegistry().driver(name, "devices.a.protocol")
    (found,) = caught.value.faults
    return str(found)


def test_adapters_of_forebay_are_found_and_load() -> None:
    registry = Registry()
    assert set(registry.names(DRIVERS)) >= {"modbus", "mqtt", "opcua", "simulated"}
    for name in registry.names(DRIVERS):
        assert registry.driver(name, "x").protocol == name
    for name in registry.names(STAGES):
        assert registry.stage(name, "x").kind == name
    for name in registry.names(UPLINKS):
        assert registry.uplink(name, "x").kind == name


def test_an_unknown_adapter() -> None:
    assert fault("modbuss").startswith("devices.a.protocol: there is no driver 'modbuss' (")


def test_an_adapter_whose_package_is_gone() -> None:
    assert fault("gone").startswith("devices.a.protocol: the driver 'gone' cannot be loaded: No mo")
    assert fault("empty").startswith("devices.a.protocol: the driver 'empty' cannot be loaded: ")


def test_an_adapter_whose_library_is_missing() -> None:
    assert fault("lacking") == (
        "devices.a.protocol: the Python package no_such_module is not installed"
        " (install forebay[fake]: pip install -e '.[fake]' in the clone)"
    )
