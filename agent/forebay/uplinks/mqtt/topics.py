"""Topics from templates: which places they have, and how names are written into them.

Owns the rules for topic names (MQTT 5.0, 4.7). Pure. Must not know messages.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

_PLACE = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[%+#\x00-\x1f\x7f]")


def parse_template(template: str, places: AbstractSet[str]) -> frozenset[str]:
    """Give the places that a template has; ValueError says what is wrong with it."""
    found = frozenset(_PLACE.findall(template))
    known = ", ".join(f"{{{place}}}" for place in sorted(places))
    if unknown := sorted(found - places):
        raise ValueError(f"{{{unknown[0]}}} is no place in this topic; there are {known}")
    plain = _PLACE.sub("x", template)
    if "{" in plain or "}" in plain:
        raise ValueError(f"{template!r} has a brace alone; places are {known}")
    if "+" in plain or "#" in plain:
        raise ValueError(f"{template!r} has a wildcard; nothing can be published to that")
    if plain.startswith("$"):
        raise ValueError(f"{template!r} begins with $, which is the broker's own")
    if not plain or "" in plain.split("/") or not plain.isprintable():
        raise ValueError(f"{template!r} has an empty level; write names between the slashes")
    return found


def fill(template: str, names: dict[str, str]) -> str:
    """Give the topic with `names` in its places.

    What no topic may hold is written as % and two hex digits. A slash in a tag's name makes levels;
    in other names there is none.
    """
    return _PLACE.sub(lambda match: level(names[match[1]]), template)


def level(name: str) -> str:
    """Give `name` as it may stand in a topic, distinct from that of every other name."""
    return _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name)
