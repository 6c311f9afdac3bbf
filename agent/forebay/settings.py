"""What every adapter's configuration is made of.

Strict models, durations, sizes, tag rows, devices, uplinks.

Owns the shapes that a person writes in TOML or CSV and that adapters extend. Must not know where
they are read from (`config`) or which adapters exist (`registry`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from forebay.model import Tag, ValueType

if TYPE_CHECKING:
    import numpy as np

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


_RATE = re.compile(r"^(\d+(?:\.\d+)?)\s*(bit|kbit|Mbit|Gbit)/s$")
_LIKE_RATE = re.compile(
    r"^(\d{1,9}(?:\.\d{1,9})?)\s*([kKmMgG]?)i?(?:(b|B|bits?|bytes?|Bytes?)\s*(?:/\s*s|ps)|(bits?))$"
)
_RATE_FACTORS = {"bit": 1, "kbit": 1000, "Mbit": 1_000_000, "Gbit": 1_000_000_000}


def parse_rate(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds; pydantic checks what comes out
    """Turn `"512 kbit/s"` into bits a second; integers pass as bit/s. ValueError for anything else.

    The factors are decimal, as operators of networks write them.
    """
    if isinstance(value, str):
        text = value.strip()
        if match := _RATE.match(text):
            return round(float(match[1]) * _RATE_FACTORS[match[2]])
        if near := _LIKE_RATE.match(text):
            raise ValueError(f"{value!r} is not a rate; write {_meant_rate(near)}")
        msg = f"{value!r} is not a rate; write a number and bit/s, kbit/s, Mbit/s or Gbit/s"
        raise ValueError(msg)
    return value


def _meant_rate(near: re.Match[str]) -> str:
    """Give what was most likely meant by another way of writing: bytes are eight bits."""
    prefix = {"k": "k", "m": "M", "g": "G"}.get(near[2].lower(), "")
    in_bytes = (near[3] is not None and near[3][0] == "B") or near[3] in ("byte", "bytes")
    return f"{float(near[1]) * (8 if in_bytes else 1):.12g} {prefix}bit/s"


_SPAN = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)\s*-\s*(?:([01]?\d|2[0-3]):([0-5]\d)|24:00)$")


def parse_span(text: str) -> tuple[int, int]:
    """Give begin and end of `"22:00-06:00"` in minutes since midnight; ValueError if it is none.

    An end before the begin lies on the next day; 24:00 is the day's end.
    """
    match = _SPAN.match(text.strip())
    if match is None:
        raise ValueError(f"{_cut(text)} is not a time of day; write two such as 22:00-06:00")
    begin = 60 * int(match[1]) + int(match[2])
    end = 1440 if match[3] is None else 60 * int(match[3]) + int(match[4])
    if begin == end:
        raise ValueError(f"{_cut(text)} begins when it ends; leave it out, or write 00:00-24:00")
    return begin, end


def _check_span(text: str) -> str:
    parse_span(text)
    return text


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


def check_pair(certificate: Path | None, key: Path | None) -> None:
    """Raise ValueError for a certificate without its key, or a key without its certificate."""
    if (certificate is None) != (key is None):
        missing = "key" if key is None else "certificate"
        raise ValueError(f"certificate and key come together; add {missing}, or remove both")


def is_loopback(host: str) -> bool:
    """Whether `host` cannot leave this machine: `localhost`, 127.0.0.0/8 or ::1."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
Rate = Annotated[int, BeforeValidator(parse_rate)]
"""A rate in bits a second, written `"512 kbit/s"`."""
DaySpan = Annotated[str, Field(max_length=16), AfterValidator(_check_span)]
"""A time of day from when to when, written `"22:00-06:00"`; see `parse_span`."""
Host = Annotated[
    str, Field(min_length=1, max_length=_MAX_HOST_CHARACTERS), AfterValidator(parse_host)
]
"""A host name or an IP address."""
TagType = Literal[
    ValueType.BOOL,
    ValueType.INT8,
    ValueType.UINT8,
    ValueType.INT16,
    ValueType.UINT16,
    ValueType.INT32,
    ValueType.UINT32,
    ValueType.INT64,
    ValueType.UINT64,
    ValueType.FLOAT32,
    ValueType.FLOAT64,
    ValueType.STRING,
]
"""What a tag list may name: all but BYTES, which come of files and plugins."""
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""The name of a device, group or uplink: letters, digits, `_`, `.` and `-`, at most 64."""


@dataclass(frozen=True, slots=True)
class IsDirectory:
    """Marks a path that names a directory, which need not be there yet, and not a file.

    With `in_state` a relative one begins at the state directory, not at the main file.
    """

    in_state: bool = False


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
    type: Annotated[TagType, Field(description="Type of the value on the device.")]
    group: Annotated[Name, Field(description="The group that reads it.")] = "default"
    unit: Annotated[
        str, Field(max_length=32, description="Unit of the scaled value, for people.")
    ] = ""
    scale: Annotated[
        float, Field(allow_inf_nan=False, description="Readers see raw * scale + offset.")
    ] = 1.0
    offset: Annotated[float, Field(allow_inf_nan=False, description="See scale.")] = 0.0
    access: Annotated[
        Literal["read", "read_write", "write"],
        Field(
            description="What may be done with it; `write` alone is never read. A write needs a "
            "rule in `[writes]` too."
        ),
    ] = "read"
    description: Annotated[str, Field(max_length=512, description="Free text, for people.")] = ""

    @property
    def readable(self) -> bool:
        """Whether it is read at all."""
        return self.access != "write"

    @property
    def writable(self) -> bool:
        """Whether a rule may allow writes to it."""
        return self.access != "read"

    @property
    def held(self) -> np.dtype[Any]:
        """As what the device holds its values: coarser than the type where the wire is."""
        return self.type.dtype

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
    """One device. A driver extends it with how to reach the device.

    One whose groups have settings of their own says `groups: Mapping[Name, ItsGroup] = {}`. The
    default of that class's `mode` is how its groups are read where nobody says.
    """

    protocol: Annotated[Name, Field(description="Which driver speaks to it.")]
    enabled: Annotated[bool, Field(description="Whether it is read at all.")] = True
    tags: Annotated[
        Path | tuple[dict[str, Any], ...],
        Field(description="Tag list: a CSV file beside this one, or tables of the same columns."),
    ]
    groups: Annotated[
        Mapping[Name, GroupSettings], Field(description="How each group of tags is read.")
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


def group_class(device: type[DeviceSettings]) -> type[GroupSettings]:
    """Give the class of one group of such a device."""
    found: type[GroupSettings] = get_args(device.model_fields["groups"].annotation)[1]
    return found


class LinkSettings(Settings):
    """The line that an uplink uses."""

    cap: Annotated[
        Rate | None,
        Field(ge=1000, le=100_000_000_000, description="Most that is sent, on all lanes together."),
    ] = None


class LiveSettings(Settings):
    """What is fresh: everything, until something has waited for longer than `backfill.after`."""

    daily: Annotated[
        Bytes | None,
        Field(ge=1024, description="Most that this lane sends from one midnight to the next."),
    ] = None
    all_streams: Annotated[
        bool, Field(description="Whether `daily` holds audit and events too.")
    ] = False


class BackfillSettings(Settings):
    """What has waited: it gives way to what is fresh, and may be held to times and amounts."""

    after: Annotated[
        Seconds,
        Field(ge=1, le=86_400, description="A backlog of this age is sent behind what is fresh."),
    ] = 30.0
    cap: Annotated[
        Rate | None, Field(ge=1000, le=100_000_000_000, description="Most that this lane sends.")
    ] = None
    daily: Annotated[
        Bytes | None,
        Field(ge=1024, description="Most that this lane sends from one midnight to the next."),
    ] = None
    windows: Annotated[
        tuple[DaySpan, ...],
        Field(
            max_length=16,
            description='Local times of day at which it is sent: `["22:00-06:00"]`; any, if empty.',
        ),
    ] = ()
    all_streams: Annotated[
        bool, Field(description="Whether `daily` and `windows` hold audit and events too.")
    ] = False


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
            description="Longest wait for an ack of what was sent, beyond the time that it takes on"
            " the line; then the session is dropped.",
        ),
    ] = 30.0
    link: Annotated[LinkSettings, Field(description="What the line may carry.")] = LinkSettings()
    live: Annotated[LiveSettings, Field(description="Limits of what is fresh.")] = LiveSettings()
    backfill: Annotated[BackfillSettings, Field(description="Limits of what has waited.")] = (
        BackfillSettings()
    )


class StageSettings(Settings):
    """One stage of a device. A stage adapter extends it."""

    kind: Annotated[Name, Field(description="Which stage.")]
