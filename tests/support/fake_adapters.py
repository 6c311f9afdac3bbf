"""Adapters that exist only in tests, and a registry that knows them and no others.

They have every form of setting that a real adapter may use, so that what reads configurations can
be judged without any protocol.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated, Literal, NoReturn

from pydantic import Field, SecretStr, field_validator

from forebay.interfaces import DriverSpec, StageSpec, UplinkSpec
from forebay.registry import DRIVERS, STAGES, UPLINKS, Registry
from forebay.settings import (
    Bytes,
    DeviceSettings,
    Name,
    Seconds,
    Settings,
    StageSettings,
    TagSettings,
    UplinkSettings,
)


class FakeLogin(Settings):
    """How to log in."""

    user: Annotated[str, Field(min_length=1, max_length=8, description="Who.")] = "gateway"
    password: Annotated[SecretStr | None, Field(description="What only the user knows.")] = None
    password_file: Annotated[Path | None, Field(description="File with the password.")] = None


class FakeDevice(DeviceSettings):
    """A device that nobody built."""

    host: Annotated[str, Field(description="Where it is. This sentence is left out of hints.")]
    port: Annotated[int, Field(ge=1, le=65_535, description="Its port.")] = 1
    buffer: Annotated[Bytes, Field(ge=1024, lt=1 << 30, description="Its memory.")] = 4096
    pause: Annotated[Seconds, Field(gt=0, description="Its rest.")] = 0.25
    ratio: Annotated[float | Literal["auto"], Field(description="Its ratio.")] = "auto"
    login: Annotated[FakeLogin, Field(description="How to log in.")] = FakeLogin(user="plc")
    rest: Annotated[Seconds | None, Field(gt=0, le=60, description="Its sleep.")] = None
    alias: Annotated[Name | None, Field(description="Its other name.")] = None
    trusted: Annotated[tuple[Path, ...], Field(description="Certificates.")] = ()


class FakeTag(TagSettings):
    """A value of a device that nobody built."""

    bit: Annotated[int | None, Field(ge=0, le=15, description="A bit of it.")] = None

    @field_validator("address")
    @classmethod
    def _no_space(cls, address: str) -> str:
        if " " in address:
            raise ValueError(f"{address!r} has a space; take it out")
        return address


class FakeUplink(UplinkSettings):
    """A destination that nobody built."""

    token_file: Annotated[Path | None, Field(description="File with the token.")] = None


class FakeStage(StageSettings):
    """A stage that does nothing."""

    size: Annotated[int, Field(ge=0, description="Its size.")] = 0


def _build(*_: object) -> NoReturn:
    raise AssertionError("checking a configuration must build nothing")


FAKE = DriverSpec(
    protocol="fake",
    settings=FakeDevice,
    tag=FakeTag,
    modes=frozenset({"poll", "subscribe"}),
    build=_build,
    requires={},
)
PUSHY = replace(FAKE, protocol="pushy", modes=frozenset({"subscribe"}))
UPLINK = UplinkSpec(kind="fake", settings=FakeUplink, build=_build, requires={})
STAGE = StageSpec(kind="fake", settings=FakeStage, build=_build)


class FakeRegistry(Registry):
    """Knows the drivers `fake` (both modes) and `pushy` (subscribe), one uplink, one stage."""

    def __init__(self) -> None:
        self._found = {
            DRIVERS: {
                "fake": EntryPoint("fake", "support.fake_adapters:FAKE", DRIVERS),
                "pushy": EntryPoint("pushy", "support.fake_adapters:PUSHY", DRIVERS),
            },
            STAGES: {"fake": EntryPoint("fake", "support.fake_adapters:STAGE", STAGES)},
            UPLINKS: {"fake": EntryPoint("fake", "support.fake_adapters:UPLINK", UPLINKS)},
        }
