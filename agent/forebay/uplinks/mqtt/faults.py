"""What can go wrong with a broker, turned into what a forwarder acts upon.

Owns the mapping of faults and reason codes to UplinkErrors. Must not know topics or payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.errors import UplinkError, UplinkMisbehaved, UplinkUnavailable
from forebay.mqttclient.faults import LOST_HINT, Kind, explain

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECTED = "connected"
"""What is being done while nothing else is."""
NO_MATCHING_SUBSCRIBERS = 0x10
_REFUSALS = 0x80
_ENDED_HINT = "see the broker's own log; each gateway needs a client_id of its own"
_PUBLISH_HINTS: Mapping[int, str] = {
    0x87: "let the user of this uplink publish to that topic",
    0x90: "the broker wants other topics: see `topic`",
    0x97: "the broker's quota is used up: give it room, or see its log",
    0x99: "the broker checks payloads and wants another form: see `format`",
}
"""By PUBACK reason code (MQTT 5.0, 3.4.2.1)."""


def translate(error: Exception, doing: str) -> UplinkError:
    """Give the UplinkError for what came while `doing` something; see `mqttclient.explain`."""
    if isinstance(error, UplinkError):
        return error
    fault = explain(error, doing, _ENDED_HINT if doing == CONNECTED else LOST_HINT)
    kind = UplinkMisbehaved if fault.kind is Kind.GARBLED else UplinkUnavailable
    return kind(fault.message, hint=fault.hint)


def refused(code: int, topic: str, *, needs_listener: bool) -> UplinkUnavailable | None:
    """Give what a PUBACK with reason `code` means; None if the broker has the message."""
    if code == NO_MATCHING_SUBSCRIBERS and needs_listener:
        return UplinkUnavailable(
            f"nobody subscribes to {topic}, so the broker kept nothing",
            hint="start the consumer, with a session that lasts; needs_listener asks for it",
        )
    if code < _REFUSALS:
        return None
    return UplinkUnavailable(
        f"the broker refused a message to {topic} (0x{code:02X})",
        hint=_PUBLISH_HINTS.get(code, "see the broker's own log"),
    )
