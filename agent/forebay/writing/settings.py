"""What a person allows to be written: the table `[writes]`.

Owns its shapes. Must not know which devices there are: `config.writes` holds the two together.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from forebay.settings import Seconds, Settings, parse_duration

MAX_RULES = 256
MAX_PATTERNS = 256
MAX_PATTERN_CHARACTERS = 512
MAX_CHOICES = 256
MAX_CALLERS = 64

_FREQUENCY = re.compile(r"^([1-9]\d{0,2})\s*/\s*(\d+(?:\.\d+)?)?\s*(ms|s|min|h|d)$")


class Frequency(NamedTuple):
    """At most `times` within any `seconds`."""

    times: int
    seconds: float


def parse_frequency(text: str) -> Frequency:
    """Give `"1/s"`, `"10/min"` or `"1/30 s"` as numbers; ValueError if it is none of that form."""
    match = _FREQUENCY.match(text.strip())
    if match is None or (match[2] is not None and float(match[2]) == 0):
        raise ValueError(
            f"{text[:32]!r} does not say how often; write a count and a time, such as 1/s or 10/min"
        )
    return Frequency(int(match[1]), parse_duration(f"{match[2] or 1} {match[3]}"))


def _check_frequency(text: str) -> str:
    parse_frequency(text)
    return text


def _check_pattern(text: str) -> str:
    device, slash, item = text.partition("/")
    if not slash or not device or not item:
        raise ValueError(f"{text[:64]!r} is not DEVICE/NAME; write for example press/Setpoint")
    return text


Pattern = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PATTERN_CHARACTERS),
    AfterValidator(_check_pattern),
]
Caller = Annotated[
    str,
    Field(
        max_length=128,
        pattern=r"^(operator|uid:\d{1,10}|(plugin|fleet):(\*|[A-Za-z0-9_-]{1,64}))$",
    ),
]
"""Who may ask: `operator`, anybody at the control socket; `uid:N`, a user there; `plugin:NAME`;
`fleet:NAME`, a user of the fleet server."""
Number = Annotated[StrictInt | StrictFloat, Field(allow_inf_nan=False)]
Choice = StrictBool | StrictInt | StrictFloat | StrictStr


class WriteRule(Settings):
    """What may be written to some tags, or which methods may be called.

    A rule with `tags` says nothing of methods, and the other way round.
    """

    tags: Annotated[
        tuple[Pattern, ...],
        Field(
            max_length=MAX_PATTERNS,
            description="Shell patterns on DEVICE/TAG. A write must keep every rule that names its "
            "tag, so that a second rule never allows more.",
        ),
    ] = ()
    methods: Annotated[
        tuple[Pattern, ...],
        Field(
            max_length=MAX_PATTERNS,
            description="Shell patterns on DEVICE/METHOD: these may be called, with any arguments.",
        ),
    ] = ()
    min: Annotated[Number | None, Field(description="Least value, as readers see it: scaled.")] = (
        None
    )
    max: Annotated[Number | None, Field(description="Greatest value, likewise.")] = None
    values: Annotated[
        tuple[Choice, ...],
        Field(max_length=MAX_CHOICES, description="The only values that may be written."),
    ] = ()
    by: Annotated[
        tuple[Caller, ...],
        Field(
            min_length=1,
            max_length=MAX_CALLERS,
            description="Who is allowed so: `operator` (whoever may use the control socket), "
            "`uid:1000` (that user there), `plugin:NAME`, `plugin:*`, `fleet:NAME` (that "
            "user of the fleet server), `fleet:*`. To all others this rule says nothing.",
        ),
    ] = ("operator",)
    rate: Annotated[
        str,
        Field(max_length=32, description="How often each tag or method at most, such as `1/s`."),
        AfterValidator(_check_frequency),
    ] = "1/s"

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if bool(self.tags) == bool(self.methods):
            raise ValueError("names tags and methods, or neither; write a rule for each")
        if self.methods and (self.values or self.min is not None or self.max is not None):
            raise ValueError("cannot limit what a method is called with; leave out the limits")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} lies above max {self.max:g}; exchange them")
        return self

    @property
    def frequency(self) -> Frequency:
        """The parsed `rate`."""
        return parse_frequency(self.rate)

    def names(self, device: str, item: str, *, method: bool) -> bool:
        """Whether this rule is about a tag, or a method, of a device."""
        target = f"{device}/{item}"
        patterns = self.methods if method else self.tags
        return any(pattern == target or fnmatchcase(target, pattern) for pattern in patterns)

    def binds(self, who: str) -> bool:
        """Whether this rule is about what `who` asks, as `Ask.who` says it."""
        kind = who.partition(":")[0]
        return any(
            caller == who
            or (caller == "operator" and kind == "uid")
            or (caller.endswith(":*") and kind == caller.removesuffix(":*"))
            for caller in self.by
        )


class WritesSettings(Settings):
    """What may be written to devices. Everything that no rule allows is refused."""

    enabled: Annotated[
        bool, Field(description="Whether anything may be written or called at all.")
    ] = False
    deadline: Annotated[
        Seconds,
        Field(
            gt=0,
            le=300,
            description="Longest wait until a write goes out, if the request names none. Later "
            "than that it never goes out.",
        ),
    ] = 5.0
    allow: Annotated[
        tuple[WriteRule, ...],
        Field(
            max_length=MAX_RULES, description="What is allowed, a table `[[writes.allow]]` each."
        ),
    ] = ()
