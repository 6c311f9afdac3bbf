"""What aiomqtt raises, and what a person does about it.

Owns the meaning of the library's exceptions and of a broker's refusals. Must not know which error
an adapter makes of it: a `Kind` tells it all that there is to tell apart.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple

from aiomqtt import MqttCodeError, MqttError
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.reasoncodes import ReasonCode

from forebay.mqttclient.credentials import CredentialsUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping

LIBRARY_ERRORS = (MqttError, OSError, ValueError, LookupError, TypeError, RuntimeError)
"""What comes out of aiomqtt 2.5 and paho 2.2; most of it is a parser that was surprised."""
LOST_HINT = "check that the broker runs and that host, port, tls and version are right"
"""What helps if there is no connection, and there may never have been one."""

_ACCESS_HINT = "check username and password_file, and what that user may do at the broker"
_CONNECT_HINTS: Mapping[int, str] = {
    0x84: 'write version = "3.1.1"',
    0x85: "choose another client_id",
    0x86: _ACCESS_HINT,
    0x87: _ACCESS_HINT,
    0x8A: "the broker has banned this client; see its log",
}
"""By CONNACK reason code (MQTT 5.0, 3.2.2.2), into which paho turns those of 3.1.1 too."""
_ACCESS = (0x86, 0x87)
_TAKEN_OVER = 0x8E


class Kind(Enum):
    """What can go wrong with a broker."""

    UNUSABLE = auto()
    """Our own files: nothing was sent."""
    DENIED = auto()
    """User or password do not open it."""
    REFUSED = auto()
    """The broker does not take us in, for another reason."""
    UNTRUSTED = auto()
    """Its certificate is not the one that it has to be."""
    SILENT = auto()
    """No answer in time."""
    LOST = auto()
    """No connection, or one that ended."""
    GARBLED = auto()
    """It sent what is no MQTT."""


class Fault(NamedTuple):
    """What went wrong, in a line, and the next step for a person."""

    kind: Kind
    message: str
    hint: str


def explain(error: Exception, doing: str, lost_hint: str = LOST_HINT) -> Fault:
    """Tell what one of LIBRARY_ERRORS or CredentialsUnusable means that came while `doing`.

    `lost_hint` is what helps when the connection ended without a reason.
    """
    if isinstance(error, CredentialsUnusable):
        return Fault(Kind.UNUSABLE, str(error), error.hint)
    if isinstance(error, MqttConnectError):
        code = error.rc.value if isinstance(error.rc, ReasonCode) else -1
        hint = _CONNECT_HINTS.get(code, "see the broker's own log")
        return Fault(Kind.DENIED if code in _ACCESS else Kind.REFUSED, f"{doing}: {error}", hint)
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        hint = "give the broker's authority as `ca`, and the name in its certificate as `host`"
        return Fault(Kind.UNTRUSTED, f"{doing}: {error}", hint)
    if isinstance(error, TimeoutError) or str(error) in {"Operation timed out", "timed out"}:
        hint = "check host, port, tls and firewall, or raise `timeout`"
        return Fault(Kind.SILENT, f"{doing}: no answer in time", hint)
    if isinstance(error, MqttError | OSError):
        return _lost(error, doing, lost_hint)
    hint = "the broker breaks MQTT, or speaks another version: see `version`"
    return Fault(Kind.GARBLED, f"{doing}: {type(error).__name__}: {error}", hint)


def _lost(error: Exception, doing: str, hint: str) -> Fault:
    rc = error.rc if isinstance(error, MqttCodeError) else None
    if isinstance(rc, ReasonCode) and rc.value == _TAKEN_OVER:
        hint = "another client uses the same client_id; give each gateway its own"
    what = "the connection ended" if rc is not None else str(error)
    return Fault(Kind.LOST, f"{doing}: {what}", hint)
