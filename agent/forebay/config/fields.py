"""One field of a settings class in words: its kind, its bounds, its default.

Owns the vocabulary that faults and the reference page share, so that both say the same. Pure; must
not know any settings class.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic_core import PydanticUndefined

from forebay.settings import NAME_PATTERN, parse_duration, parse_rate, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic.fields import FieldInfo

SIZE_UNITS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
DURATION_UNITS = (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001))
RATE_UNITS = (("Gbit/s", 10**9), ("Mbit/s", 10**6), ("kbit/s", 10**3), ("bit/s", 1))
_PLAIN = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "text",
}


def format_size(size_bytes: float) -> str:
    """Write bytes as a person would in the configuration: `16 MiB`."""
    for unit, factor in SIZE_UNITS:
        if size_bytes >= factor and size_bytes % factor == 0:
            return f"{size_bytes / factor:.15g} {unit}"
    return f"{size_bytes:.15g} B"


def format_duration(duration_s: float) -> str:
    """Write seconds as a person would in the configuration: `250 ms`."""
    for unit, factor in DURATION_UNITS:
        count = duration_s / factor
        if count >= 1 and abs(count - round(count)) < 1e-6:
            return f"{round(count)} {unit}"
    return f"{duration_s:.12g} s"


def format_rate(rate: float) -> str:
    """Write bits a second as a person would in the configuration: `512 kbit/s`."""
    for unit, factor in RATE_UNITS:
        if rate >= factor and rate % factor == 0:
            return f"{rate / factor:.15g} {unit}"
    return f"{rate:.15g} bit/s"


def marks(field: FieldInfo) -> list[Any]:
    """Give all that restricts the field's value, also where the value may be left out."""
    inner = [getattr(member, "__metadata__", ()) for member in without_none(field.annotation)]
    found = [*field.metadata, *(mark for metadata in inner for mark in metadata)]
    return [m for mark in found for m in getattr(mark, "metadata", (mark,))]


def is_parsed_by(field: FieldInfo, parser: Callable[[Any], Any]) -> bool:
    """Whether the field is written as text for `parser` (such as `parse_size`)."""
    return any(isinstance(m, BeforeValidator) and m.func is parser for m in marks(field))


def format_number(field: FieldInfo, value: float) -> str:
    """Write a number of this field in the field's own unit."""
    if is_parsed_by(field, parse_duration):
        return format_duration(value)
    if is_parsed_by(field, parse_rate):
        return format_rate(value)
    return format_size(value) if is_parsed_by(field, parse_size) else f"{value:.12g}"


def kind(field: FieldInfo) -> str:
    """Say what is to be written: `duration`, `whole number`, `text`, `one of poll, subscribe`."""
    if is_parsed_by(field, parse_duration):
        return "duration"
    if is_parsed_by(field, parse_size):
        return "size"
    if is_parsed_by(field, parse_rate):
        return "rate"
    if any(getattr(mark, "pattern", None) == NAME_PATTERN for mark in marks(field)):
        return "name"
    return _kind_of(field.annotation)


def _kind_of(annotation: Any) -> str:  # noqa: ANN401 - any annotation
    origin = get_origin(annotation) or annotation
    if hasattr(annotation, "__metadata__"):
        return _kind_of(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_kind_of, without_none(annotation))))
    if choices := choices_of(annotation):
        return f"one of {', '.join(choices)}"
    if origin in _PLAIN or not isinstance(origin, type):
        return _PLAIN.get(origin, "value")
    if issubclass(origin, (BaseModel, Mapping)):
        return "table"
    inner = get_args(annotation)
    return f"list of {_plural(_kind_of(inner[0]))}" if inner else "value"


def _plural(word: str) -> str:
    return word if word.startswith("one of") or word == "text" else f"{word}s"


def without_none(annotation: Any) -> Sequence[Any]:  # noqa: ANN401 - any annotation
    """Give the members of a union but None; a plain annotation is its own only member."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [a for a in get_args(annotation) if a is not type(None)]
    return [annotation]


def choices_of(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401 - any annotation
    """Give the words that a Literal or an Enum allows; empty for anything else."""
    if get_origin(annotation) is Literal:
        return tuple(str(a) for a in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(member.value) for member in annotation)
    return ()


def bounds(field: FieldInfo) -> str:
    """Say what is allowed: `from 1 to 65535`, `at most 64 characters`; empty if anything is."""
    low = high = ""
    for mark in marks(field):
        if isinstance(mark, Ge):
            low = f"from {_bound(field, mark.ge)}"
        elif isinstance(mark, Gt):
            low = f"more than {_bound(field, mark.gt)}"
        elif isinstance(mark, Le):
            high = f"to {_bound(field, mark.le)}"
        elif isinstance(mark, Lt):
            high = f"less than {_bound(field, mark.lt)}"
        elif isinstance(mark, MaxLen) and field.annotation is str:
            high = f"to {mark.max_length} characters"
    if high.startswith("to") and not low.startswith("from"):
        high = high.replace("to", "at most", 1)
    if not high.startswith("to") and low.startswith("from"):
        low = low.replace("from", "at least", 1)
    joint = " " if low.startswith("from") and high.startswith("to") else ", "
    return joint.join(filter(None, (low, high)))


def _bound(field: FieldInfo, value: Any) -> str:  # noqa: ANN401 - annotated_types leaves it open
    return format_number(field, float(value))


def default(field: FieldInfo) -> object:
    """Give the default; None if there is none or if the key must be given."""
    value = field.get_default(call_default_factory=True, validated_data={})
    return None if value is PydanticUndefined else value


def written(field: FieldInfo, value: object) -> str:
    """Write a value of the field as it would stand in the file, `none` for nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return format_number(field, float(value))
    if isinstance(value, BaseModel):
        return "see its table"
    if value is None or value in ({}, ()):
        return "none"
    if isinstance(value, tuple) and all(isinstance(one, str) for one in value):
        return json.dumps(value)
    return str(value.value if isinstance(value, Enum) else value) or "empty"
