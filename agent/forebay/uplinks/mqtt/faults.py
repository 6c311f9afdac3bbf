"""What aiomqtt raises, turned into what a forwarder acts upon.

Owns the mapping of exceptions and reason codes to UplinkErrors. Must not know topics or payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiomqtt import MqttCodeError, MqttError
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from forebay.errors import UplinkError, UplinkMisbehaved, UplinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARY_ERRORS = (MqttError, OSError, ValueError, LookupError, TypeError, RuntimeError)
"""What comes out of aiomqtt 2.5 and paho 2.2; most of it is a parser that was surprised."""

CONNECTED = "connected"
"""What is being done while nothing else is."""
NO_MATCHING_SUBSCRIBERS = 0x10
_REFUSALS = 0x80
_TAKEN_OVER = 0x8E
_ACCESS_HINT = "check username and password_file, and what that user may do at the broker"
_CONNECT_HINTS: Mapping[int, str] = {
    0x84: 'write version = "3.1.1"',
    0x85: "choose another client_id",
    0x86: _ACCESS_HINT,
    0x87: _ACCESS_HINT,
    0x8A: "the broker has banned this client; see its log",
}
"""By CONNACK reason code (MQTT 5.0, 3.2.2.2), into which paho turns those of 3.1.1 too."""
_PUBLISH_HINTS: Mapping[int, str] = {
    0x87: "let the user of this uplink publish to that topic",
    0x90: "the broker wants other topics: see `topic`",
    0x97: "the broker's quota is used up: give it room, or see its log",
    0x99: "the broker checks payloads and wants another form: see `format`",
}
"""By PUBACK reason code (MQTT 5.0, 3.4.2.1)."""


def translate(error: Exception, doing: str) -> UplinkError:
    """Give the UplinkError for what aiomqtt raised while `doing` something."""
    if isinstance(error, UplinkError):
        return error
    if isinstance(error, MqttConnectError):
        code = error.rc.value if isinstance(error.rc, ReasonCode) else -1
        hint = _CONNECT_HINTS.get(code, "see the broker's own log")
        return UplinkUnavailable(f"{doing}: {error}", hint=hint)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UplinkUnavailable(
            f"{doing}: {error}",
            hint="give the broker's authority as `ca`, and the name in its certificate as `host`",
        )
    if isinstance(error, TimeoutError) or str(error) in {"Operation timed out", "timed out"}:
        return UplinkUnavailable(
            f"{doing}: no answer in time",
            hint="check host, port, tls and firewall, or raise `timeout`",
        )
    if isinstance(error, MqttError | OSError):
        return _lost(error, doing)
    return UplinkMisbehaved(
        f"{doing}: {type(error).__name__}: {error}",
        hint="the broker breaks MQTT, or speaks another version: see `version`",
    )


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


def _lost(error: Exception, doing: str) -> UplinkUnavailable:
    hint = "check that the broker runs and that host, port, tls and version are right"
    if doing == CONNECTED:
        hint = "see the broker's own log; each gateway needs a client_id of its own"
    rc = error.rc if isinstance(error, MqttCodeError) else None
    if isinstance(rc, ReasonCode) and rc.value == _TAKEN_OVER:
        hint = "another client uses the same client_id; give each gateway its own"
    what = "the connection ended" if rc is not None else str(error)
    return UplinkUnavailable(f"{doing}: {what}", hint=hint)
