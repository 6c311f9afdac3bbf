"""What aiomqtt raises, turned into what a session acts upon.

Owns the mapping of exceptions and reason codes to DeviceErrors. Must not know topics or payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiomqtt import MqttCodeError, MqttError
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARY_ERRORS = (MqttError, OSError, ValueError, LookupError, TypeError, RuntimeError)
"""What comes out of aiomqtt 2.5 and paho 2.2; most of it is a parser that was surprised."""

_ACCESS_HINT = "check username and password_file, and what that user may do at the broker"
_CONNECT_HINTS: Mapping[int, str] = {
    0x84: 'write version = "3.1.1"',
    0x85: "choose another client_id",
    0x86: _ACCESS_HINT,
    0x87: _ACCESS_HINT,
    0x8A: "the broker has banned this client; see its log",
}
"""By CONNACK reason code (MQTT 5, 3.2.2.2), into which paho turns those of 3.1.1 too."""
_BAD_USER_ACCESS_DENIED = 0x801F_0000
_TAKEN_OVER = 0x8E


def translate(error: Exception, doing: str) -> DeviceError:
    """Give the DeviceError for what aiomqtt raised while `doing` something."""
    if isinstance(error, DeviceError):
        return error
    if isinstance(error, MqttConnectError):
        return _refused(error, doing)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return DeviceRefused(
            f"{doing}: {error}",
            hint="give the broker's authority as `ca`, and the name in its certificate as `host`",
            status=Quality.BAD_COMMUNICATION_ERROR,
        )
    if isinstance(error, TimeoutError) or str(error) in {"Operation timed out", "timed out"}:
        return DeviceUnreachable(
            f"{doing}: no answer in time",
            hint="check host, port, tls and firewall, or raise `timeout`",
            status=Quality.BAD_TIMEOUT,
        )
    if isinstance(error, MqttError | OSError):
        return _lost(error, doing)
    return ProtocolViolation(
        f"{doing}: {type(error).__name__}: {error}",
        hint="the broker breaks MQTT, or speaks another version: see `version`",
        status=Quality.BAD_DECODING_ERROR,
    )


def _refused(error: MqttConnectError, doing: str) -> DeviceError:
    code = error.rc.value if isinstance(error.rc, ReasonCode) else -1
    access = code in (0x86, 0x87)
    return DeviceRefused(
        f"{doing}: {error}",
        hint=_CONNECT_HINTS.get(code, "see the broker's own log"),
        status=_BAD_USER_ACCESS_DENIED if access else Quality.BAD_COMMUNICATION_ERROR,
    )


def _lost(error: Exception, doing: str) -> DeviceError:
    hint = "check that the broker runs and that host, port, tls and version are right"
    rc = error.rc if isinstance(error, MqttCodeError) else None
    if isinstance(rc, ReasonCode) and rc.value == _TAKEN_OVER:
        hint = "another client uses the same client_id; give each gateway its own"
    what = "the connection ended" if rc is not None else str(error)
    return DeviceUnreachable(f"{doing}: {what}", hint=hint, status=Quality.BAD_NO_COMMUNICATION)
