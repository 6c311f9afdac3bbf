"""Turns what pydantic found into faults that a person can act on: path, sentence, next step.

Owns the words. Pure; must not know where the data came from: the caller says how a location is
written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from forebay.config.fields import bounds, choices_of, kind, without_none
from forebay.errors import Fault
from forebay.settings import NAME_PATTERN, TAG_NAME_PATTERN, DeviceSettings, GroupSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

Where = tuple[str | int, ...]
"""A place in a configuration: table keys and list indexes from the root."""

REFERENCE = "see docs/reference/config.md"
_SECRET_WORDS = ("password", "secret", "token", "credential", "passphrase")
_SHOWN_CHARACTERS = 60
_NAME_HINT = (
    "use letters, digits, '_', '.' and '-', starting with a letter or digit, at most 64 characters"
)
_PATTERNS = {
    NAME_PATTERN: ("is not a name", _NAME_HINT),
    TAG_NAME_PATTERN: (
        "is not a tag name",
        "write 1 to 128 characters without tabs, line breaks or other control characters",
    ),
}
_FLOATING = "write float32 (two registers) or float64 (four); most meters send float32"
_WHOLE = "write int16 or uint16, or int32 or uint32 for two registers"
_OTHER_TYPES = {
    "float": _FLOATING,
    "real": _FLOATING,
    "double": "write float64",
    "lreal": "write float64",
    "int": _WHOLE,
    "integer": _WHOLE,
    "uint": "write uint16, or uint32 for two registers",
    "word": "write uint16",
    "dword": "write uint32",
    "boolean": "write bool",
    "bit": "write bool",
    "bytes": "write string for text; bytes come of files and plugins, not of a tag list",
}
"""What manuals and PLCs call a type, and what that is here."""
_DEFAULT_GROUP: Where = ("groups", "default")
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a path in quotes",
    "model": "a table",
    "dict": "a table",
    "mapping": "a table",
    "list": "a list",
    "tuple": "a list",
}


class _Spot(NamedTuple):
    """What the settings class says of one place: the field there, and the class that owns it."""

    field: FieldInfo | None
    owner: type[BaseModel] | None


def dotted(where: Iterable[str | int]) -> str:
    """Write a place as a person looks for it: `devices.press.port`, `devices.a.tags[3].name`."""
    text = ""
    for part in where:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("_", "").replace("-", "").isalnum()
            text += f"{'.' if text else ''}{part if plain else quoted(part)}"
    return text


def shown(value: object) -> str:
    """Write a value so that it fits a line and cannot harm a terminal."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return "a huge number"
    text = str(value) if isinstance(value, (date, time)) else repr(value)
    return (
        text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 4]}...{text[0]}"
    )


def quoted(text: str) -> str:
    """Write a key or a file name as TOML quotes it, harmless to a terminal."""
    return f'"{repr(text)[1:-1]}"'


def printable(text: str) -> str:
    """Give a file name as it is if that is harmless to a terminal, else quoted."""
    return text if text.isprintable() else quoted(text)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that was most likely meant."""
    by_fold = {k.casefold(): k for k in known}
    close = get_close_matches(word.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[close[0]] if close else None


def meant(word: str, known: Sequence[str]) -> str:
    """Say what was most likely meant by an unknown word, or what there is."""
    close = nearest(word, known)
    return f"did you mean {close!r}?" if close else f"known are: {', '.join(known) or 'none'}"


def split_hint(message: str, hint: str) -> tuple[str, str]:
    """Cut `message; hint` at the first `; `; `hint` is what remains said if there is none."""
    text, _, step = message.partition("; ")
    return text, step or hint


def explain(
    error: ValidationError,
    model: type[BaseModel],
    data: object,
    path: Callable[[Where], str] = dotted,
) -> list[Fault]:
    """Give one fault for each place that pydantic complains about, in its order.

    `model` is the class that was asked, `data` what it was given; `path` writes a place within
    `data`. The members of a union that all failed make one fault together; where one member got
    deeper than the others, its complaint stands for all.
    """
    found: dict[Where, list[tuple[ErrorDetails, bool]]] = {}
    for detail in error.errors(include_url=False):
        where, in_union = _real_place(detail, data)
        found.setdefault(where, []).append((detail, in_union))
    faults = []
    for where, details in found.items():
        deeper = any(len(w) > len(where) and w[: len(where)] == where for w in found)
        if deeper and all(in_union for _, in_union in details):
            continue
        spot = _spot(model, where)
        secret = any(word in str(part).casefold() for part in where for word in _SECRET_WORDS)
        one = details[0][0]
        message, hint = (
            _union_sentence(spot, one["input"], secret=secret)
            if len(details) > 1 and all(in_union for _, in_union in details)
            else _sentence(one, spot, where, path, secret=secret)
        )
        faults.append(Fault(path(where), message, hint))
    return faults


def _real_place(detail: ErrorDetails, data: object) -> tuple[Where, bool]:
    """Give the error's place in `data`, and whether it was tried as a member of a union.

    Pydantic mixes the names of the union's members into its locations; they are left out.
    """
    where: list[str | int] = []
    in_union = False
    node: Any = data
    loc = detail["loc"]
    for number, part in enumerate(loc):
        if _has(node, part):
            node = node[part]
        elif not (number == len(loc) - 1 and detail["type"] == "missing"):
            in_union = in_union or part != "[key]"
            continue
        where.append(part)
    return tuple(where), in_union


def _has(node: object, part: str | int) -> bool:
    if isinstance(node, (list, tuple)):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, Mapping) and part in node


def _spot(model: type[BaseModel], where: Where) -> _Spot:
    annotation: Any = model
    spot = _Spot(None, None)
    for part in where:
        owner = _model_in(annotation)
        if owner is not None:
            spot = _Spot(owner.model_fields.get(str(part)), owner)
            annotation = spot.field.annotation if spot.field else None
        else:
            arguments = [get_args(a) for a in without_none(annotation) if get_origin(a)]
            inner = [a[-1] if a[-1] is not Ellipsis else a[0] for a in arguments if a]
            annotation = inner[0] if inner else None
            spot = _Spot(None, _model_in(annotation))
    return spot


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any annotation
    for member in without_none(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def _union_sentence(spot: _Spot, value: object, *, secret: bool) -> tuple[str, str]:
    wanted = kind(spot.field) if spot.field else "something else"
    article = "" if wanted.startswith(("one of", "true", "text")) else "a "
    hint = f"correct it: {_about(spot.field)}"
    return f"must be {article}{wanted}{_not(value, secret=secret)}", hint


def _about(field: FieldInfo | None) -> str:
    """Give what the field is for, its first sentence, as a hint of last resort."""
    text = (field.description or "") if field else ""
    return text.partition(". ")[0].strip().rstrip(".") or REFERENCE


def _not(value: object, *, secret: bool) -> str:
    return "" if secret else f", not {shown(value)}"


def _sentence(
    detail: ErrorDetails, spot: _Spot, where: Where, path: Callable[[Where], str], *, secret: bool
) -> tuple[str, str]:
    """Give message and hint for one complaint; `secret` values are not shown."""
    code, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    about = _about(spot.field)
    if code == "value_error":
        return split_hint(str(context["error"]), about)
    if code == "missing":
        return "is missing", f"add it: {about}"
    if code == "extra_forbidden":
        return "is unknown", _stray(
            str(where[-1]), spot.owner, path((*where[:-1], *_DEFAULT_GROUP))
        )
    if code == "string_pattern_mismatch":
        message, hint = _PATTERNS.get(context["pattern"], ("has the wrong form", about))
        return (message if secret else f"{shown(value)} {message}"), hint
    if _WANTED.get(code.split("_")[0]) == "a table":
        return f"must be a table{_not(value, secret=secret)}", _header(where, path)
    return _value_sentence(detail, spot.field, _not(value, secret=secret))


def _stray(key: str, owner: type[BaseModel] | None, group: str) -> str:
    """Say where a key belongs that its table does not know; `group` is the usual group's place."""
    if owner and issubclass(owner, DeviceSettings) and key in GroupSettings.model_fields:
        return f"it belongs in [{group}]"
    return meant(key, tuple(owner.model_fields) if owner else ())


def _header(where: Where, path: Callable[[Where], str]) -> str:
    """Say how the table at `where` begins."""
    *outer, last = where or ("",)
    if any(isinstance(part, int) for part in outer):
        return "write { key = value, ... }"
    written = f"[[{path(tuple(outer))}]]" if isinstance(last, int) else f"[{path(where)}]"
    return f"begin it with {written} on a line of its own"


def _value_sentence(detail: ErrorDetails, field: FieldInfo | None, but: str) -> tuple[str, str]:
    """Explain a value of the right kind that is not allowed."""
    code, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    if code in ("enum", "literal_error"):
        choices = choices_of(field.annotation) if field else ()
        hint = _choice(str(value), choices) if choices else f"write {context['expected']}"
        return f"must be one of {', '.join(choices) or context['expected']}{but}", hint
    if "than" in code:
        allowed = bounds(field) if field else ""
        limit = _upright(detail["msg"].removeprefix("Input should be "))
        return f"must be {allowed or limit}{but}", f"correct it: {_about(field)}"
    if code == "finite_number":
        return f"must be a finite number{but}", "write an ordinary number such as 1.0"
    return _shape_sentence(detail, field, but)


def _choice(word: str, choices: Sequence[str]) -> str:
    other = _OTHER_TYPES.get(word.casefold()) if "float32" in choices else None
    return other or meant(word, choices)


def _shape_sentence(detail: ErrorDetails, field: FieldInfo | None, but: str) -> tuple[str, str]:
    """Explain a value of the wrong kind or length."""
    code, value = detail["type"], detail["input"]
    wanted = kind(field) if field else "value"
    if "_too_" in code or code.startswith("too_"):
        return _length(detail), f"correct it: {_about(field)}"
    if code == "float_parsing" and _has_decimal_comma(value):
        return f"must be a number{but}", "write a decimal point instead of the comma"
    if wanted in ("duration", "size"):
        example = "250 ms" if wanted == "duration" else "64 MiB"
        return f"must be a {wanted}{but}", f"write a number and a unit, such as {example!r}"
    plain = _WANTED.get(code.split("_")[0])
    message = f"must be {plain}{but}" if plain else _upright(detail["msg"])
    return message, f"correct it: {_about(field)}"


def _length(detail: ErrorDetails) -> str:
    code, context = detail["type"], detail.get("ctx", {})
    if code.endswith("too_short"):
        least = context["min_length"]
        return "must not be empty" if least == 1 else f"must have at least {least} characters"
    what = "characters" if code.startswith("string") else "entries"
    return f"must have at most {context['max_length']} {what}"


def _has_decimal_comma(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.replace(",", ".", 1).lstrip("+-").replace(".", "", 1).isdigit()
    )


def _upright(message: str) -> str:
    """Lower the first letter of a sentence that continues a line, unless it is an abbreviation."""
    head = message[:2]
    return (
        message[0].lower() + message[1:] if head[:1].isupper() and head[1:].islower() else message
    )
