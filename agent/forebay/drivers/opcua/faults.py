"""What asyncua raises, turned into what a session acts upon.

Owns the mapping of exceptions and service results to DeviceErrors. Must not know connections or
values.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from asyncua.common.utils import ServiceError
from asyncua.ua.status_codes import StatusCodes, get_name_and_doc
from asyncua.ua.uaerrors import UaError, UaStatusCodeError, UaStructParsingError
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType

from forebay.cancellation import StrayCancellation
from forebay.drivers.opcua.binary import CodecError
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.model import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODES = StatusCodes
_LINK_HINT = "see the server's own log; the session connects again"

LIBRARY_ERRORS = (
    UaError,
    OSError,
    EOFError,
    AssertionError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    struct.error,
    RuntimeError,
    InvalidSignature,
    UnsupportedAlgorithm,
    InvalidVersion,
    DuplicateExtension,
    UnsupportedGeneralNameType,
)
"""What comes out of asyncua 2.1: beside its own errors those of a parser that was surprised.

RuntimeError is StrayCancellation, and what uvloop says of a transport that is being closed.
"""

_LOST = frozenset(
    {
        _CODES.BadConnectionClosed,
        _CODES.BadConnectionRejected,
        _CODES.BadNoSubscription,
        _CODES.BadSecureChannelClosed,
        _CODES.BadSecureChannelIdInvalid,
        _CODES.BadSecureChannelTokenUnknown,
        _CODES.BadServerHalted,
        _CODES.BadServerNotConnected,
        _CODES.BadSessionClosed,
        _CODES.BadSessionIdInvalid,
        _CODES.BadSessionNotActivated,
        _CODES.BadShutdown,
        _CODES.BadSubscriptionIdInvalid,
        _CODES.BadTcpServerTooBusy,
        _CODES.BadTimeout,
        _CODES.BadTooManySessions,
    }
)
"""Service results after which nothing more can be had of this connection."""

TOO_MUCH = frozenset(
    {
        _CODES.BadTooManyOperations,
        _CODES.BadEncodingLimitsExceeded,
        _CODES.BadRequestTooLarge,
        _CODES.BadResponseTooLarge,
        _CODES.BadTcpMessageTooLarge,
    }
)
"""Service results that say: ask for less at once."""

FILTER_STATUSES = frozenset(
    {
        _CODES.BadMonitoredItemFilterInvalid,
        _CODES.BadMonitoredItemFilterUnsupported,
        _CODES.BadFilterNotAllowed,
        _CODES.BadDeadbandFilterInvalid,
    }
)
"""Statuses of a monitored item that might be had with less of a filter."""

_USER_HINT = "check username and password_file, and what that user may do on the server"
TRUST_HINT = "let the server trust our certificate, and check that its application URI is ours"
_POLICY_HINT = "choose a security_policy and security_mode that the server offers"
_CONNECT_HINTS: Mapping[int, str] = {
    _CODES.BadUserAccessDenied: _USER_HINT,
    _CODES.BadIdentityTokenInvalid: _USER_HINT,
    _CODES.BadIdentityTokenRejected: _USER_HINT,
    _CODES.BadCertificateUntrusted: TRUST_HINT,
    _CODES.BadCertificateUriInvalid: TRUST_HINT,
    _CODES.BadCertificateInvalid: TRUST_HINT,
    _CODES.BadCertificateTimeInvalid: "renew the certificate, or set the clock",
    _CODES.BadSecurityChecksFailed: TRUST_HINT,
    _CODES.BadSecurityPolicyRejected: _POLICY_HINT,
    _CODES.BadSecurityModeRejected: _POLICY_HINT,
    _CODES.BadTooManySessions: "the server's sessions are used up; close other clients",
}


def translate(error: Exception, doing: str) -> DeviceError:
    """Give the DeviceError for what asyncua raised while `doing` something."""
    if isinstance(error, DeviceError):
        return error
    if isinstance(error, ServiceError | UaStatusCodeError):
        return _of_code(error.code, doing)
    if isinstance(error, TimeoutError | StrayCancellation):
        return DeviceUnreachable(
            f"{doing}: no answer in time",
            hint="check address, cable and firewall, or raise `timeout`",
            status=Quality.BAD_TIMEOUT,
        )
    if isinstance(error, OSError | RuntimeError):
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number) if number else str(error) or type(error).__name__
        if isinstance(error, socket.gaierror):  # whose numbers are not those of errno
            reason = error.strerror or reason
        return DeviceUnreachable(
            f"{doing}: {reason}",
            hint="check that the server runs and that its address is right",
            status=Quality.BAD_NO_COMMUNICATION,
        )
    if isinstance(error, CodecError | UaStructParsingError | struct.error):
        return ProtocolViolation(
            f"{doing}: {error}",
            hint="the server breaks OPC UA; look for a newer version of it",
            status=Quality.BAD_DECODING_ERROR,
        )
    return ProtocolViolation(
        f"{doing}: {type(error).__name__}: {error}".rstrip(": "),
        hint=_LINK_HINT,
        status=Quality.BAD_COMMUNICATION_ERROR,
    )


def translate_handshake(error: Exception, doing: str) -> DeviceError:
    """Give the DeviceError for a failed connect, mostly a matter of trust or settings."""
    if isinstance(error, AssertionError) or (
        isinstance(error, ConnectionError) and error.errno is None
    ):  # a channel that the server closed instead of answering; a refused TCP connection has errno
        return DeviceUnreachable(
            f"{doing}: the server ended the handshake",
            hint=TRUST_HINT,
            status=_CODES.BadSecurityChecksFailed,
        )
    if isinstance(error, InvalidSignature):
        return DeviceRefused(
            f"{doing}: the server could not prove that server_certificate is its own",
            hint="compare server_certificate with the server's, and suspect the network",
            status=_CODES.BadSecurityChecksFailed,
        )
    if isinstance(error, UaError) and not isinstance(error, UaStatusCodeError | ServiceError):
        return DeviceRefused(
            f"{doing}: {error}", hint=_POLICY_HINT, status=_CODES.BadSecurityModeRejected
        )
    if isinstance(error, ValueError | TypeError | UnsupportedAlgorithm) and not isinstance(
        error, CodecError
    ):
        return DeviceRefused(
            f"{doing}: {error}",
            hint="check that certificate, key and server_certificate are PEM or DER, with RSA keys",
            status=Quality.BAD_CONFIGURATION_ERROR,
        )
    return translate(error, doing)


def _of_code(code: int, doing: str) -> DeviceError:
    message = f"{doing}: {status_name(code)}"
    hint = _CONNECT_HINTS.get(code)
    if code in _LOST:
        return DeviceUnreachable(message, hint=hint or _LINK_HINT, status=code)
    return DeviceRefused(message, hint=hint or "see the server's own log", status=code)


def status_name(code: int) -> str:
    """Give a StatusCode's name in the standard (Part 6, Annex A.2)."""
    name: str = get_name_and_doc(code & 0xFFFF_0000)[0]
    return name
