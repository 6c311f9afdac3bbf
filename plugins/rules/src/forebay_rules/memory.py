"""What the rules know between windows, as JSON. `forebay_plugin.windowlog` keeps it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forebay_rules.alarms import Memory

if TYPE_CHECKING:
    from forebay_rules.rows import Last


@dataclass
class Known:
    """What is known behind the last window.

    Attributes:
        last_ns: the last row that was judged; 0 if none was.
        end_ns: end of the last window.
        tracks: DEVICE/TAG -> its last sample.
        slots: what `lasting`, `hysteresis` and the delays of alarms keep, by key.
        alarms: name -> what is known of it.
        given: name of an output of kind write -> the value asked for last, and when.
    """

    last_ns: int = 0
    end_ns: int = 0
    tracks: dict[str, Last] = field(default_factory=dict)
    slots: dict[str, Any] = field(default_factory=dict)
    alarms: dict[str, Memory] = field(default_factory=dict)
    given: dict[str, tuple[float, int]] = field(default_factory=dict)

    def to_json(self) -> str:
        """All of it as text."""
        alarms = {name: memory.to_json() for name, memory in self.alarms.items()}
        return json.dumps({**self.__dict__, "alarms": alarms})

    @classmethod
    def from_json(cls, text: str) -> Known:
        """Undo `to_json`; of an empty text, nothing is known."""
        given = json.loads(text or '{"alarms": {}, "tracks": {}}')
        given["alarms"] = {name: Memory.from_json(one) for name, one in given["alarms"].items()}
        given["tracks"] = {tag: (one[0], one[1], one[2]) for tag, one in given["tracks"].items()}
        told = given.get("given", {})
        given["given"] = {name: (value, when) for name, (value, when) in told.items()}
        return cls(**given)
