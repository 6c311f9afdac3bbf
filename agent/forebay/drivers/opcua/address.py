"""The address of an OPC UA tag: a NodeId as text.

Owns the text form (OPC UA Part 6, 5.3.1.10, and `nsu=` from 5.3.1.11). Must not know asyncua: a tag
list is validated without it.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from urllib.parse import unquote

_TEXT = re.compile(
    r"^(?:ns=(?P<ns>\d{1,5});|nsu=(?P<uri>[^;]+);)?(?P<kind>[isgb])=(?P<id>.+)$", re.ASCII
)
_MAX_INDEX = 0xFFFF
_MAX_NUMERIC = 0xFFFF_FFFF

Identifier = int | str | uuid.UUID | bytes


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node: in the namespace called `uri`, or with index `namespace` where there is no URI."""

    namespace: int
    uri: str | None
    identifier: Identifier


def parse_address(text: str) -> NodeAddress:
    """Read `ns=2;s=Line.Temp`, `nsu=http://example.com/line;i=7`, `i=2258`, or `g=`, or `b=`.

    ValueError says what is wrong. `g=` is followed by a UUID, `b=` by base64. In a namespace URI
    `%3B` stands for a semicolon.
    """
    match = _TEXT.match(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a NodeId; write ns=2;s=Line.Temp or nsu=http://example.com/line;i=7"
        )
    namespace = int(match["ns"] or 0)
    if namespace > _MAX_INDEX:
        raise ValueError(f"a namespace index is at most {_MAX_INDEX}, not {namespace}")
    uri = unquote(match["uri"]) if match["uri"] else None
    return NodeAddress(namespace, uri, _identifier(match["kind"], match["id"]))


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
