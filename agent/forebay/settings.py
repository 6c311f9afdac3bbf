"""What every adapter's configuration is made of.

Strict models, durations, sizes, tag rows, devices, uplinks.

Owns the shapes that a person writes in TOML or CSV and that adapters extend. Must not know where
they are read from (`config`) or which adapters exist (`registry`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from forebay.model import Tag, ValueType

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
TAG_NAME_PATTERN = r"^[^\x00-\x1f\x7f]{1,128}$"

_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)$")
_FACTORS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_size(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds; pydantic checks what comes out
    """Turn `"64 MiB"` into bytes; integers pass as bytes. ValueError for anything else."""
    if isinstance(value, str):
        if match := _SIZE.match(value.strip()):
            return int(float(match[1]) * _FACTORS[match[2]])
        msg = f"{value!r} is not a size; write a number and B, KiB, MiB, GiB or TiB"
        raise ValueError(msg)
    return value


def parse_duration(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds; pydantic checks what comes out
    """Turn `"250 ms"` into seconds; numbers pass as seconds. ValueError for anything else."""
    if isinstance(value, str):
        if match := _DURATION.match(value.strip()):
            return float(match[1]) * _SECONDS[match[2]]
        msg = f"{value!r} is not a duration; write a number and ms, s, min, h or d"
        raise ValueError(msg)
    return value


_MAX_DOUBLINGS = 32

Bytes = Annotated[int, BeforeValidator(parse_size)]
"""A size in bytes, written `"512 MiB"`."""
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(allow_inf_nan=False)]
"""A duration in seconds, written `"250 ms"`."""
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""The name of a device, group or uplink: letters, digits, `_`, `.` and `-`, at most 64."""


class Settings(BaseModel):
    """Strict base: unknown keys are faults, values never change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class TagSettings(Settings):
    """One row of a tag list. A driver extends it, and validates `address` in its own terms."""

    name: Annotated[
        str, Field(pattern=TAG_NAME_PATTERN, description="Name of the tag, unique on its device.")
    ]
    address: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="Where the value is; each driver has its form.",
        ),
    ]
    type: Annotated[ValueType, Field(description="Type of the value on the device.")]
    group: Annotated[Name, Field(description="The group that reads it.")] = "default"
    unit: Annotated[
        str, Field(max_length=32, description="Unit of the scaled value, for people.")
    ] = ""
    scale: Annotated[
        float, Field(allow_inf_nan=False, description="Readers see raw * scale + offset.")
    ] = 1.0
    offset: Annotated[float, Field(allow_inf_nan=False, description="See scale.")] = 0.0
    description: Annotated[str, Field(max_length=512, description="Free text, for people.")] = ""

    def to_tag(self) -> Tag:
        """Give the model's Tag."""
        return Tag(self.name, self.address, self.type, self.unit, self.scale, self.offset)


class GroupSettings(Settings):
    """Tags that are read together."""

    mode: Annotated[
        Literal["poll", "subscribe"],
        Field(description="`poll` asks every `period`; `subscribe` lets the device send changes."),
    ] = "poll"
    period: Annotated[
        Seconds,
        Field(
            ge=0.001,
            le=86_400,
            description="Time between the starts of two polls, or the sampling interval.",
        ),
    ] = 1.0


class BackoffSettings(Settings):
    """How long to wait before the next try to connect.

    Doubling from `first` to `most`, each wait drawn at random from its upper half.
    """

    first: Annotated[
        Seconds, Field(gt=0, le=3600, description="Longest wait before the second try.")
    ] = 0.5
    most: Annotated[
        Seconds, Field(gt=0, le=86_400, description="Longest wait before any later try.")
    ] = 30.0

    def wait_s(self, failures: int, draw: float) -> float:
        """Give the wait in seconds before the next try.

        `failures` counts failed tries in a row, 1 or more; `draw` is uniform in [0, 1). The wait
        lies in the upper half of its ceiling, so that many who lost one peer do not come back at
        once.
        """
        ceiling = min(self.first * 2.0 ** min(failures - 1, _MAX_DOUBLINGS), self.most)
        return ceiling * (0.5 + 0.5 * draw)


class DeviceSettings(Settings):
    """One device. A driver extends it with how to reach the device."""

    protocol: Annotated[Name, Field(description="Which driver speaks to it.")]
    enabled: Annotated[bool, Field(description="Whether it is read at all.")] = True
    tags: Annotated[
        Path | tuple[dict[str, Any], ...],
        Field(description="Tag list: a CSV file beside this one, or tables of the same columns."),
    ]
    groups: Annotated[
        dict[Name, GroupSettings], Field(description="How each group of tags is read.")
    ] = {}
    timeout: Annotated[
        Seconds, Field(gt=0, le=300, description="Longest wait for an answer or a connection.")
    ] = 3.0
    backoff: BackoffSettings = BackoffSettings()
    stages: Annotated[
        tuple[dict[str, Any], ...], Field(description="Stages that each batch passes, in order.")
    ] = ()


class UplinkSettings(Settings):
    """One destination. An uplink adapter extends it with how to reach it."""

    kind: Annotated[Name, Field(description="Which adapter speaks to it.")]
    enabled: Annotated[bool, Field(description="Whether anything is sent.")] = True
    backoff: BackoffSettings = BackoffSettings(first=0.2, most=15.0)
    ack_deadline: Annotated[
        Seconds,
        Field(
            gt=0,
            le=3600,
            description="Longest wait for an ack of what was sent before the session is dropped.",
        ),
    ] = 30.0


class StageSettings(Settings):
    """One stage of a device. A stage adapter extends it."""

    kind: Annotated[Name, Field(description="Which stage.")]
