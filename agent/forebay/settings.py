"""What every adapter's configuration is made of.

Strict models, durations, sizes, tag rows, devices, uplinks.

Owns the shapes that a person writes in TOML or CSV and that adapters extend. Must not know where
they are read from (`config`) or which adapters exist (`registry`).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from forebay.model import Tag, ValueType

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
TAG_NAME_PATTERN = r"^[^\x00-\x1f\x7f]{1,128}$"

_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB)$")
_LIKE_SIZE = re.compile(r"^(\d{1,9}(?:\.\d{1,9})?)\s*([KMGTkmgt])i?[Bb]?$")
_FACTORS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_size(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds; pydantic checks what comes out
    """Turn `"64 MiB"` into bytes; integers pass as bytes. ValueError for anything else."""
    if isinstance(value, str):
        if match := _SIZE.match(value.strip()):
            return int(float(match[1]) * _FACTORS[match[2]])
        if near := _LIKE_SIZE.match(value.strip()):
            raise ValueError(f"{value!r} is not a size; write {near[1]} {near[2].upper()}iB")
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


_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_IP_CHARACTERS = re.compile(r"[0-9A-Za-z:._%-]+")
_WITH_PORT = re.compile(r"([^:\s]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_MAX_HOST_CHARACTERS = 253


def parse_host(text: str) -> str:
    """Give `text` if it is an IPv4 or IPv6 address or a host name; ValueError says what is wrong.

    A host name has labels of 1 to 63 letters, digits and hyphens (RFC 1123, 2.1), here underscores
    too, because machines on a plant floor have them, and may end in a dot. Its last label is not
    all digits, or it could be taken for an address.
    """
    if _is_address(text):
        return text
    if "://" in text:
        raise ValueError(f"{_cut(text)} is a URL; write the host alone")
    if with_port := _WITH_PORT.fullmatch(text):
        host, port = with_port[1].strip("[]"), int(with_port[2])
        raise ValueError(
            f'{_cut(text)} has a port in it; write "{host}" alone, '
            f"and the port as a key of its own: port = {port}"
        )
    if text.startswith("[") and text.endswith("]"):
        raise ValueError(f"{_cut(text)} is in brackets; write an IPv6 address without them")
    if text.count(":") > 1:
        raise ValueError(f"{_cut(text)} is not an IPv6 address; write one such as fe80::7")
    labels = text.removesuffix(".").split(".")
    if labels[-1].isdigit():
        raise ValueError(f"{_cut(text)} is not an IP address; write four numbers from 0 to 255")
    if any(len(label) > 63 for label in labels):
        raise ValueError(
            f"{_cut(text)} is not a host name; a part between dots has at most 63 characters"
        )
    if len(text) > _MAX_HOST_CHARACTERS or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(
            f"{_cut(text)} is not a host name; write an IP address, or a name of letters, digits, "
            "'-', '_' and '.', such as plc-7.example.org"
        )
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return _IP_CHARACTERS.fullmatch(text) is not None


def _cut(text: str) -> str:
    """Quote what may be long or hold control characters."""
    return repr(text if len(text) <= 64 else f"{text[:61]}...")


_MAX_DOUBLINGS = 32

Bytes = Annotated[int, BeforeValidator(parse_size)]
"""A size in bytes, written `"512 MiB"`."""
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(allow_inf_nan=False)]
"""A duration in seconds, written `"250 ms"`."""
Host = Annotated[
    str, Field(min_length=1, max_length=_MAX_HOST_CHARACTERS), AfterValidator(parse_host)
]
"""A host name or an IP address."""
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""The name of a device, group or uplink: letters, digits, `_`, `.` and `-`, at most 64."""


@dataclass(frozen=True, slots=True)
class IsDirectory:
    """Marks a path that names a directory, which need not be there yet, and not a file."""


Directory = Annotated[Path, IsDirectory()]
"""A directory that is made where it is missing."""


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
    backoff: Annotated[
        BackoffSettings, Field(description="How long to wait before the next try to connect.")
    ] = BackoffSettings()
    stages: Annotated[
        tuple[dict[str, Any], ...], Field(description="Stages that each batch passes, in order.")
    ] = ()


class UplinkSettings(Settings):
    """One destination. An uplink adapter extends it with how to reach it."""

    kind: Annotated[Name, Field(description="Which adapter speaks to it.")]
    enabled: Annotated[bool, Field(description="Whether anything is sent.")] = True
    backoff: Annotated[
        BackoffSettings, Field(description="How long to wait before the next try to connect.")
    ] = BackoffSettings(first=0.2, most=15.0)
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
