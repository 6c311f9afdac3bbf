"""What can go wrong with a broker, turned into what a session acts upon.

Owns which DeviceError, and which quality of the values, each kind of fault is. Must not know
topics or payloads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.model import Quality
from forebay.mqttclient.faults import Kind, explain

if TYPE_CHECKING:
    from collections.abc import Mapping

_BAD_USER_ACCESS_DENIED = 0x801F_0000
_ERRORS: Mapping[Kind, tuple[type[DeviceError], int]] = {
    Kind.UNUSABLE: (DeviceRefused, Quality.BAD_CONFIGURATION_ERROR),
    Kind.DENIED: (DeviceRefused, _BAD_USER_ACCESS_DENIED),
    Kind.REFUSED: (DeviceRefused, Quality.BAD_COMMUNICATION_ERROR),
    Kind.UNTRUSTED: (DeviceRefused, Quality.BAD_COMMUNICATION_ERROR),
    Kind.SILENT: (DeviceUnreachable, Quality.BAD_TIMEOUT),
    Kind.LOST: (DeviceUnreachable, Quality.BAD_NO_COMMUNICATION),
    Kind.GARBLED: (ProtocolViolation, Quality.BAD_DECODING_ERROR),
}


def translate(error: Exception, doing: str) -> DeviceError:
    """Give the DeviceError for what came while `doing` something; see `mqttclient.explain`."""
    if isinstance(error, DeviceError):
        return error
    fault = explain(error, doing)
    kind, status = _ERRORS[fault.kind]
    return kind(fault.message, hint=fault.hint, status=status)
