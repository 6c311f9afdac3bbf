"""What a plugin says of itself: `plugin.toml` in its directory.

Owns the shapes of that file. Must not know where it is read from (`config`), nor what a person sets
over it (`settings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from forebay.model import Stream, ValueType
from forebay.pluginhost.seams import OutputKind
from forebay.settings import Bytes, Name, Seconds, Settings

FILE = "plugin.toml"
MAX_FILE_BYTES = 256 << 10
PROTOCOL = 1
"""Version of `plugin.proto` that this host speaks."""
MAX_PATTERNS = 256
MAX_INPUTS = 4096
MAX_OUTPUTS = 1024
MAX_ROWS = 1 << 20
MAX_WINDOW_S = 366 * 86_400.0

KindOfValue = Literal["number", "string", "bytes"]


def _check_pattern(text: str) -> str:
    source, slash, tag = text.partition("/")
    if not slash or not source or not tag:
        raise ValueError(f"{text[:64]!r} is not DEVICE/TAG; write for example pump/*")
    return text


Pattern = Annotated[str, Field(min_length=3, max_length=512), AfterValidator(_check_pattern)]
"""A shell pattern on DEVICE/TAG."""
PluginName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


class PluginTable(Settings):
    """What the plugin is, and how it is run: table `[plugin]`."""

    name: Annotated[PluginName, Field(description="Name of the plugin.")]
    version: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}$", description="Version of the plugin."),
    ]
    description: Annotated[str, Field(max_length=512, description="One line, for people.")] = ""
    protocol: Annotated[
        Literal[1], Field(description="Version of `plugin.proto` that it speaks.")
    ] = 1
    command: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
        Field(
            min_length=1,
            max_length=64,
            description="What is run: `{python}` is the interpreter of its own `venv`, else the "
            "agent's; `{dir}` its directory.",
        ),
    ]
    start: Annotated[
        Literal["all", "newest"],
        Field(
            description="After a pause: `all` that came meanwhile is worked on, or what came is "
            "skipped and counted, and it begins with the `newest`."
        ),
    ] = "all"
    in_flight: Annotated[
        int, Field(ge=1, le=16, description="Most works that are out at once.")
    ] = 2
    batch: Annotated[int, Field(ge=1, le=65_536, description="Most windows in one work.")] = 64


class InputSettings(Settings):
    """One role: the tags that windows hold under this name."""

    tags: Annotated[
        tuple[Pattern, ...],
        Field(
            min_length=1,
            max_length=MAX_PATTERNS,
            description="Shell patterns on DEVICE/TAG; another plugin's results are PLUGIN/OUTPUT.",
        ),
    ]
    stream: Annotated[Stream, Field(description="Which stream of the journal they are in.")] = (
        Stream.TELEMETRY
    )
    types: Annotated[
        tuple[KindOfValue, ...],
        Field(min_length=1, max_length=3, description="Types of values that it takes."),
    ] = ("number",)
    min: Annotated[
        int, Field(ge=0, le=MAX_INPUTS, description="How many tags there must be at least.")
    ] = 1
    max: Annotated[
        int, Field(ge=1, le=MAX_INPUTS, description="How many tags there may be at most.")
    ] = 256


class WindowSettings(Settings):
    """How much is looked at at once: so many rows, or so much time."""

    rows: Annotated[
        int | None,
        Field(
            ge=1, le=MAX_ROWS, description="Rows of the axis that the first role's first tag has."
        ),
    ] = None
    stride: Annotated[
        int | None,
        Field(ge=1, le=MAX_ROWS, description="Rows from one window to the next; `rows` if absent."),
    ] = None
    every: Annotated[
        Seconds | None,
        Field(
            ge=0.001,
            le=MAX_WINDOW_S,
            description="Time from one window to the next; they end at multiples of it since 1970.",
        ),
    ] = None
    length: Annotated[
        Seconds | None,
        Field(ge=0.001, le=MAX_WINDOW_S, description="Time in a window; `every` if absent."),
    ] = None
    grace: Annotated[
        Seconds | None,
        Field(
            ge=0,
            le=86_400,
            description="Longest wait for tags that are behind others, before a window is closed "
            "without them; 1 s if absent.",
        ),
    ] = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        timed = {"every", "length", "grace"} & self.model_fields_set
        counted = {"rows", "stride"} & self.model_fields_set
        if timed and counted:
            raise ValueError(
                "counts rows and time; keep rows and stride, or every, length and grace"
            )
        return self

    @property
    def timed(self) -> bool:
        """Whether windows are spans of time; else they count rows."""
        return bool({"every", "length", "grace"} & self.model_fields_set)

    def over(self, below: WindowSettings) -> WindowSettings:
        """Give these settings, and those of `below` for what is not set here."""
        if self.model_fields_set and self.timed != below.timed:
            return self
        return WindowSettings.model_validate(
            below.model_dump(exclude_unset=True) | self.model_dump(exclude_unset=True)
        )


class OutputSettings(Settings):
    """One thing that the plugin gives."""

    kind: Annotated[
        OutputKind,
        Field(
            description="`tag`: a tag of its own; `event`: a text; `blob`: bytes; `write`: a value "
            "for a tag, through the gate of `[writes]`."
        ),
    ] = OutputKind.TAG
    type: Annotated[
        ValueType | None,
        Field(
            description="Type of its values: `string` for an event, `bytes` for a blob; else "
            "`float64` if absent."
        ),
    ] = None
    unit: Annotated[str, Field(max_length=32, description="Unit of its values, for people.")] = ""
    min: Annotated[
        float | None,
        Field(allow_inf_nan=False, description="What is less becomes BadOutOfRange."),
    ] = None
    max: Annotated[
        float | None,
        Field(allow_inf_nan=False, description="What is more becomes BadOutOfRange."),
    ] = None
    tag: Annotated[
        Pattern | None,
        Field(description="DEVICE/TAG that a `write` asks for, where nobody sets another."),
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        fixed = {OutputKind.EVENT: "string", OutputKind.BLOB: "bytes"}.get(self.kind)
        if fixed is not None and self.type is not None and self.type.value != fixed:
            raise ValueError(
                f"an output of kind {self.kind.value} has type {fixed}; leave type out"
            )
        if self.tag is not None and self.kind is not OutputKind.WRITE:
            raise ValueError("tag is for outputs of kind write; leave it out")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is greater than max; turn them round")
        return self

    def over(self, below: OutputSettings | None) -> OutputSettings:
        """Give these settings, and those of `below` for what is not set here."""
        if below is None:
            return self
        return OutputSettings.model_validate(
            below.model_dump(exclude_unset=True) | self.model_dump(exclude_unset=True)
        )

    @property
    def value_type(self) -> ValueType:
        """The type of its values, said or implied."""
        if self.type is not None:
            return self.type
        if self.kind is OutputKind.BLOB:
            return ValueType.BYTES
        return ValueType.STRING if self.kind is OutputKind.EVENT else ValueType.FLOAT64


class Limits(Settings):
    """What one process of the plugin may take."""

    deadline: Annotated[
        Seconds, Field(ge=0.01, le=3600, description="Longest time for one work; then it is ended.")
    ] = 5.0
    start_timeout: Annotated[
        Seconds,
        Field(ge=0.1, le=3600, description="Longest time from its start until it is ready."),
    ] = 30.0
    memory: Annotated[
        Bytes,
        Field(ge=16 << 20, le=1 << 40, description="Most memory, all its processes together."),
    ] = 512 << 20
    processes: Annotated[
        int, Field(ge=1, le=4096, description="Most processes and threads, all together.")
    ] = 64
    files: Annotated[int, Field(ge=16, le=65_536, description="Most files open at once.")] = 256
    file_size: Annotated[
        Bytes,
        Field(
            ge=4096,
            le=1 << 40,
            description="Largest file that it may write; all that it keeps may be four times that.",
        ),
    ] = 256 << 20
    cpu: Annotated[
        float,
        Field(
            gt=0.01,
            le=1024,
            description="Most cores, rounded up; and as many threads in its thread pools.",
        ),
    ] = 1.0
    nice: Annotated[
        int, Field(ge=0, le=19, description="How far it gives way to the agent for the processor.")
    ] = 10
    samples_per_s: Annotated[
        float, Field(gt=0, le=1e9, description="Most samples a second among its results.")
    ] = 1000.0
    bytes_per_s: Annotated[
        Bytes, Field(ge=1024, le=1 << 40, description="Most bytes a second among its results.")
    ] = 1 << 20
    log_lines_per_s: Annotated[
        int, Field(ge=1, le=10_000, description="Most lines of its output that are kept a second.")
    ] = 100

    def over(self, below: Limits) -> Limits:
        """Give these limits, and those of `below` for what is not set here."""
        return Limits.model_validate(
            below.model_dump(exclude_unset=True) | self.model_dump(exclude_unset=True)
        )


class Manifest(Settings):
    """All of `plugin.toml`."""

    plugin: Annotated[PluginTable, Field(description="What it is, and how it is run.")]
    inputs: Annotated[
        Mapping[Name, InputSettings],
        Field(min_length=1, max_length=64, description="The roles, by name."),
    ]
    window: Annotated[WindowSettings, Field(description="How much is looked at at once.")] = (
        WindowSettings()
    )
    outputs: Annotated[
        Mapping[Name, OutputSettings],
        Field(max_length=MAX_OUTPUTS, description="What it gives, by name."),
    ] = {}
    limits: Annotated[Limits, Field(description="What one process of it may take.")] = Limits()
    settings: Annotated[
        Mapping[str, Any],
        Field(max_length=1024, description="Defaults of its own settings, free in form."),
    ] = {}
