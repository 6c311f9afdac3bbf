"""The address of an OPC UA tag: a NodeId as text, and which part of the node's value is meant.

Owns the text form (OPC UA Part 6, 5.3.1.10, and `nsu=` from 5.3.1.11; `;at=` is ours). Must not
know asyncua: a tag list is validated without it.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from urllib.parse import quote, unquote

_TEXT = re.compile(
    r"^(?:ns=(?P<ns>\d{1,5});|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<id>.+)$", re.ASCII
)
_PART = ";at="
_STEP = re.compile(r"\.?(?P<field>[^.,;\[\]]+)|\[(?P<indexes>\d{1,10}(?:,\d{1,10})*)\]", re.ASCII)
_MAX_STEPS = 16
_URI_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in ";%")
_MAX_INDEX = 0xFFFF
_MAX_NUMERIC = 0xFFFF_FFFF

Identifier = int | str | uuid.UUID | bytes
Step = str | tuple[int, ...]
"""One step into a value: the name of a structure's field, or the indexes of an array's element."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node: in the namespace called `uri`, or with index `namespace` where there is no URI.

    `part` leads from the node's value to what is meant of it; empty for all.
    """

    namespace: int
    uri: str | None
    identifier: Identifier
    part: tuple[Step, ...] = ()


def parse_address(text: str) -> NodeAddress:
    """Read `ns=2;s=Line.Temp`, `nsu=http://example.com/line;i=7`, `i=2258`, or `g=`, or `b=`.

    `g=` is followed by a UUID, `b=` by base64. In a namespace URI `%3B` stands for a semicolon.
    Behind the last `;at=` stands the part: `[3]`, `[1,2]` (a matrix), `field.sub[0]`. ValueError
    says what is wrong.
    """
    whole, separator, part = text.rpartition(_PART)
    whole, part = (whole, part) if separator else (text, "")
    match = _TEXT.match(whole)
    if match is None:
        raise ValueError(
            f"{text!r} is not a NodeId; write ns=2;s=Line.Temp or nsu=http://example.com/line;i=7"
        )
    namespace = int(match["ns"] or 0)
    if namespace > _MAX_INDEX:
        raise ValueError(f"a namespace index is at most {_MAX_INDEX}, not {namespace}")
    uri = unquote(match["uri"]) if match["uri"] else None
    return NodeAddress(namespace, uri, _identifier(match["kind"], match["id"]), _steps(part))


def format_address(address: NodeAddress) -> str:
    """Give the text that `parse_address` reads as `address`."""
    prefix = f"ns={address.namespace};" if address.namespace else ""
    if address.uri is not None:
        prefix = f"nsu={quote(address.uri, safe=_URI_SAFE)};"
    match address.identifier:
        case int() as number:
            text = f"i={number}"
        case str() as name:
            text = f"s={name}"
        case uuid.UUID() as unique:
            text = f"g={unique}"
        case opaque:
            text = f"b={base64.b64encode(opaque).decode()}"
    part = format_part(address.part)
    return prefix + text + (_PART + part if part or _PART in text else "")


def format_part(part: tuple[Step, ...]) -> str:
    """Give a part as it stands behind `;at=`, empty for the whole."""
    steps = (s if isinstance(s, str) else f"[{','.join(map(str, s))}]" for s in part)
    return ".".join(steps).replace(".[", "[")


def _steps(text: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or (match[0].startswith(".") != (at > 0 and match["field"] is not None)):
            raise ValueError(f"{text!r} is not a part of a value; write [3], [1,2] or field.sub[0]")
        indexes = match["indexes"]
        steps.append(match["field"] or tuple(int(index) for index in indexes.split(",")))
        at = match.end()
    if len(steps) > _MAX_STEPS:
        raise ValueError(f"{text!r} leads more than {_MAX_STEPS} steps into a value")
    return tuple(steps)


def _identifier(kind: str, text: str) -> Identifier:
    if kind == "s":
        return text
    if kind == "g":
        try:
            return uuid.UUID(text)
        except ValueError:
            raise ValueError(f"{text!r} is not a UUID") from None
    if kind == "b":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            raise ValueError(f"{text!r} is not base64") from None
    if not text.isascii() or not text.isdigit() or int(text[:11]) > _MAX_NUMERIC:
        raise ValueError(f"{text!r} is not a number from 0 to {_MAX_NUMERIC}")
    return int(text)
