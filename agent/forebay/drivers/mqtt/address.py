"""The address of an MQTT tag: a topic, and where in its payload the value is.

Owns the text form and the walk through a JSON document (RFC 6901). Pure. Must not know brokers or
batches.

`#` stands between topic and pointer because no topic name may hold it (MQTT 3.1.1, 4.7.1.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_TOPIC_BYTES = 65_535
_MAX_DEPTH = 32
_ARRAY_INDEX = re.compile(r"^(?:0|[1-9]\d{0,8})$", re.ASCII)

MISSING: Final = object()
"""What `find` gives where the document has no such place; `None` is JSON's null."""


@dataclass(frozen=True, slots=True)
class TopicAddress:
    """`pointer`: unescaped steps into a JSON document; None if the payload is the value's text."""

    topic: str
    pointer: tuple[str, ...] | None


def parse_address(text: str) -> TopicAddress:
    """Read `plant/line/speed` (the payload is text) or `plant/line#/motor/speed` (JSON).

    `plant/line#` is a payload that is one JSON value. ValueError says what is wrong.
    """
    topic, separator, pointer = text.partition("#")
    if not topic:
        raise ValueError(f"{text!r} names no topic; write plant/line or plant/line#/speed")
    if "+" in topic:
        raise ValueError(f"{topic!r} has the wildcard +; a tag has exactly one topic")
    if "\0" in topic or len(topic.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"a topic has no NUL and at most {MAX_TOPIC_BYTES} bytes")
    if topic.endswith("/") and separator and not pointer:
        raise ValueError(f"{text!r} has the wildcard #; a tag has exactly one topic")
    return TopicAddress(topic, parse_pointer(pointer) if separator else None)


def parse_pointer(text: str) -> tuple[str, ...]:
    """Read a JSON Pointer (RFC 6901, 3-4) into its steps; the empty text is the whole document."""
    if not text:
        return ()
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not a JSON Pointer; it begins with /")
    if re.search(r"~(?![01])", text):
        raise ValueError(f"{text!r} is not a JSON Pointer; write ~0 for ~ and ~1 for /")
    steps = tuple(s.replace("~1", "/").replace("~0", "~") for s in text[1:].split("/"))
    if len(steps) > _MAX_DEPTH:
        raise ValueError(f"a JSON Pointer has at most {_MAX_DEPTH} steps")
    return steps


def find(document: object, pointer: tuple[str, ...]) -> object:
    """Give what stands at `pointer`, or MISSING."""
    for step in pointer:
        if isinstance(document, dict):
            document = document.get(step, MISSING)
        elif isinstance(document, list) and _ARRAY_INDEX.match(step) and int(step) < len(document):
            document = document[int(step)]
        else:
            return MISSING
        if document is MISSING:
            return MISSING
    return document
