"""The outer tables of a configuration; devices and uplinks are still undecoded.

Owns what the core itself can be told. Must not know what a driver or an uplink can be told: `load`
hands each such table to the adapter that it names.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from forebay.config import places
from forebay.config.metrics import MetricsSettings
from forebay.settings import Bytes, Name, Seconds, Settings
from forebay.writing.settings import WritesSettings

MAX_DEVICES = 1_000
MAX_UPLINKS = 16
MAX_PLUGINS = 64

_MIB = 1 << 20
_GIB = 1 << 30
_DAY_S = 86_400.0


class GatewaySettings(Settings):
    """What this gateway is called."""

    id: Annotated[
        Name,
        Field(
            description=(
                "Name of this gateway, unique in the fleet. With the gRPC uplink it is also the "
                "common name (CN) of the client certificate."
            )
        ),
    ]


class StreamSettings(Settings):
    """What this stream does when its part is full."""

    overflow: Annotated[
        Literal["thin", "drop_oldest", "drop_newest", "block"],
        Field(
            description=(
                "What happens when its part of the disk is full of what is not delivered; see "
                "`[journal.streams]`."
            )
        ),
    ]


class StreamsSettings(Settings):
    """What each stream does when its part of the disk is full of what is not delivered.

    - `thin`: the oldest data keeps, of each tag and 10 s, the first, least, greatest and last
      sample, and every change of quality; later of each 60 s, then 600 s. Only then the oldest
      goes, with a gap.
    - `drop_oldest`: the oldest goes at once, with a gap.
    - `drop_newest`: nothing new is taken, with a gap in its place.
    - `block`: nothing new is taken, and its producer waits. For `bulk` only.

    With `drop_newest` and `block`, what one uplink has got goes all the same when its part is full:
    an uplink that is behind the others, or disabled, gets a gap and stops nothing.
    """

    audit: Annotated[
        StreamSettings,
        Field(
            description="What was written to devices, by whom, and how it ended; 5 % of `max_size`."
        ),
    ] = StreamSettings(overflow="drop_oldest")
    events: Annotated[
        StreamSettings,
        Field(description="What happened: events and alarms of devices; 15 % of `max_size`."),
    ] = StreamSettings(overflow="drop_oldest")
    telemetry: Annotated[
        StreamSettings, Field(description="Readings; 75 % of `max_size`, with `bulk`.")
    ] = StreamSettings(overflow="thin")
    bulk: Annotated[
        StreamSettings,
        Field(
            description=(
                "What is large and may wait; still empty. It shares the part of `telemetry`; if it "
                "drops nothing by itself it gets half of that at most."
            )
        ),
    ] = StreamSettings(overflow="drop_oldest")

    @field_validator("audit", "events")
    @classmethod
    def _whole(cls, stream: StreamSettings) -> StreamSettings:
        if stream.overflow == "thin":
            raise ValueError("holds no curves that could be thinned; write drop_oldest")
        return stream

    @field_validator("audit", "events", "telemetry")
    @classmethod
    def _never_waits(cls, stream: StreamSettings) -> StreamSettings:
        if stream.overflow == "block":
            raise ValueError(
                "cannot block, because nothing may hold up the reading of a PLC; write thin for "
                "telemetry, drop_oldest for audit and events"
            )
        return stream


class JournalSettings(Settings):
    """Where readings rest, for how long, and how they get there."""

    directory: Annotated[
        Path,
        Field(
            description=(
                "Directory of the journal, made if missing. A relative path starts at the main "
                "file. By default it is `journal` in the directory that `FOREBAY_STATE` names."
            )
        ),
    ] = places.STATE / "journal"
    max_size: Annotated[
        Bytes | None,
        Field(
            ge=64 * _MIB,
            le=16_384 * _GIB,
            description=(
                "Disk space for the journal, by default 60 % of its file system; beyond it the "
                "oldest segments go, with a gap. Where others leave less than that, readings get "
                "thinner by what there is."
            ),
        ),
    ] = None
    max_age: Annotated[
        Seconds,
        Field(
            ge=60.0,
            le=3_650 * _DAY_S,
            description="Age at which a segment goes, delivered or not, leaving a gap record.",
        ),
    ] = 30 * _DAY_S
    commit_interval: Annotated[
        Seconds,
        Field(
            ge=0.01,
            le=10.0,
            description="Longest wait of a reading before it is written to disk.",
        ),
    ] = 0.25
    segment_size: Annotated[
        Bytes,
        Field(
            ge=8 * _MIB,
            le=64 * _MIB,
            description="Size of one segment file, the unit in which old data is dropped.",
        ),
    ] = 16 * _MIB
    memory: Annotated[
        Bytes,
        Field(
            ge=4 * _MIB,
            le=_GIB,
            description="Memory for readings that wait for the disk; what exceeds it leaves a gap.",
        ),
    ] = 32 * _MIB

    wear_budget: Annotated[
        Bytes,
        Field(
            ge=0,
            le=16_384 * _GIB,
            description=(
                "How much may be written to the disk in a day, 0 for any amount. Nothing is held "
                "back: `forebay status` and `forebay journal forecast` say when it is exceeded."
            ),
        ),
    ] = 20 * _GIB

    streams: Annotated[
        StreamsSettings, Field(description="What each stream does when its part is full.")
    ] = StreamsSettings()

    @model_validator(mode="after")
    def _room_for_segments(self) -> JournalSettings:
        if self.max_size is not None and self.max_size < 4 * self.segment_size:
            raise ValueError(
                "max_size must hold at least four segments; raise max_size or lower segment_size"
            )
        return self


class ControlSettings(Settings):
    """How local commands reach the daemon."""

    socket: Annotated[
        Path,
        Field(
            description=(
                "Unix socket on which the daemon answers local commands. `FOREBAY_SOCKET` goes "
                "before this key, because the commands read only the variable."
            )
        ),
    ] = places.SOCKET

    @field_validator("socket")
    @classmethod
    def _fits(cls, path: Path) -> Path:
        if len(os.fsencode(path)) > places.MAX_SOCKET_PATH_BYTES:
            raise ValueError(
                f"is longer than the {places.MAX_SOCKET_PATH_BYTES} bytes that Linux allows for a "
                "socket; choose a shorter path"
            )
        return path


class LogSettings(Settings):
    """What the daemon says on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(description="The least severe message that is written."),
    ] = "info"
    format: Annotated[
        Literal["auto", "console", "json"],
        Field(
            description=(
                "`console` for people, `json` for log collectors, one object a line; `auto` hands "
                "each field to systemd's journal by its name where standard error leads there, and "
                "else is `console`."
            )
        ),
    ] = "auto"


class FleetSettings(Settings):
    """How another configuration comes to run on this gateway."""

    probation: Annotated[
        Seconds,
        Field(
            ge=5.0,
            le=600.0,
            description=(
                "How long a configuration that was applied or pushed has to keep the data flowing; "
                "what runs before it runs again if it does not. Of the two that say it, the longer "
                "counts: none makes its own trial shorter."
            ),
        ),
    ] = 120.0
    update_probation: Annotated[
        Seconds,
        Field(
            ge=5.0,
            le=3600.0,
            description=(
                "How long another version of the agent has to keep the data flowing; the version "
                "before it runs again if it does not."
            ),
        ),
    ] = 600.0
    shadow_interval: Annotated[
        Literal["off"]
        | Annotated[
            Seconds,
            Field(
                ge=1.0,
                le=86_400.0,
            ),
        ],
        Field(
            description=(
                "How often the fleet server is told which tags have another value or quality than "
                "before, on a gateway that is enrolled; `off` for never. At most 2,000 values go "
                "out a second."
            )
        ),
    ] = 10.0


class Config(Settings):
    """One configuration: the main file and what `conf.d` adds to it."""

    gateway: Annotated[GatewaySettings, Field(description="What this gateway is called.")]
    journal: Annotated[
        JournalSettings, Field(description="Where readings rest, and for how long.")
    ] = JournalSettings()
    control: Annotated[
        ControlSettings, Field(description="How local commands reach the daemon.")
    ] = ControlSettings()
    writes: Annotated[WritesSettings, Field(description="What may be written to devices.")] = (
        WritesSettings()
    )
    log: Annotated[LogSettings, Field(description="What the daemon says on standard error.")] = (
        LogSettings()
    )
    metrics: Annotated[
        MetricsSettings, Field(description="Whether Prometheus may ask how this gateway does.")
    ] = MetricsSettings()
    fleet: Annotated[
        FleetSettings, Field(description="How another configuration comes to run.")
    ] = FleetSettings()
    devices: Annotated[
        dict[Name, dict[str, Any]],
        Field(max_length=MAX_DEVICES, description="One table a device; its driver knows the keys."),
    ] = {}  # noqa: RUF012 - pydantic copies a mutable default
    uplinks: Annotated[
        dict[Name, dict[str, Any]],
        Field(
            max_length=MAX_UPLINKS,
            description="One table a destination; its adapter knows the keys.",
        ),
    ] = {}  # noqa: RUF012 - as above
    plugins: Annotated[
        dict[Name, dict[str, Any]],
        Field(max_length=MAX_PLUGINS, description="One table a plugin that runs beside the data."),
    ] = {}  # noqa: RUF012 - as above
