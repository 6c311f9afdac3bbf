"""Every exception that asyncua is known to raise becomes a DeviceError to act upon."""

from __future__ import annotations

import inspect
import socket
import struct
from typing import TYPE_CHECKING, Any

import asyncua.ua.uaerrors
import pytest
from asyncua.common.utils import ServiceError
from asyncua.ua.status_codes import StatusCodes
from cryptography.exceptions import InvalidSignature
from cryptography.x509 import InvalidVersion

from forebay.cancellation import StrayCancellation
from forebay.drivers.opcua.binary import CodecError
from forebay.drivers.opcua.faults import LIBRARY_ERRORS, translate, translate_handshake
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.model import is_bad

if TYPE_CHECKING:
    from collections.abc import Callable

ua_errors: Any = asyncua.ua.uaerrors
STATUS_ERRORS: list[Any] = [
    error
    for _, error in inspect.getmembers(ua_errors, inspect.isclass)
    if issubclass(error, ua_errors.UaStatusCodeError) and isinstance(vars(error).get("code"), int)
]
OTHERS = [
    ua_errors.UaError("x"),
    ua_errors.UaStructParsingError("x"),
    ua_errors.UaStringParsingError("x"),
    ua_errors.UaInvalidParameterError("x"),
    ServiceError(StatusCodes.BadCertificateUntrusted),
    TimeoutError(),
    ConnectionRefusedError(111, "Connection refused"),
    ConnectionError("Connection is closed"),
    OSError("x"),
    AssertionError(),
    AttributeError("x"),
    KeyError("x"),
    IndexError("x"),
    TypeError("x"),
    ValueError("x"),
    CodecError("x"),
    struct.error("x"),
    InvalidSignature(),
    EOFError(),
    RuntimeError("the handler is closed"),
    InvalidVersion("x", 7),
    StrayCancellation("cancelled by nobody who may"),
]


def test_asyncua_has_the_errors_that_this_test_is_about() -> None:
    assert len(STATUS_ERRORS) > 200


@pytest.mark.parametrize("mapping", [translate, translate_handshake])
def test_every_service_result_is_mapped_with_its_status(
    mapping: Callable[[Exception, str], DeviceError],
) -> None:
    for kind in STATUS_ERRORS:
        if kind.code & 0x8000_0000:
            error = mapping(kind(), "reading")
            assert isinstance(error, DeviceUnreachable | DeviceRefused)
            assert error.status == kind.code
            assert error.hint


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: type(error).__name__)
def test_every_other_exception_is_caught_and_mapped(error: Exception) -> None:
    assert isinstance(error, LIBRARY_ERRORS)
    for mapped in (translate(error, "reading"), translate_handshake(error, "connecting")):
        assert isinstance(mapped, DeviceError)
        assert is_bad(mapped.status)
        assert mapped.hint
        assert str(mapped).startswith(("reading: ", "connecting: "))


def test_the_branches_are_those_that_a_session_acts_upon() -> None:
    assert isinstance(translate(TimeoutError(), "x"), DeviceUnreachable)
    assert isinstance(translate(ConnectionResetError(), "x"), DeviceUnreachable)
    assert isinstance(translate(ua_errors.BadSessionIdInvalid(), "x"), DeviceUnreachable)
    assert isinstance(translate(ua_errors.BadUserAccessDenied(), "x"), DeviceRefused)
    assert isinstance(translate(CodecError("short"), "x"), ProtocolViolation)
    assert isinstance(translate(KeyError("surprise"), "x"), ProtocolViolation)


def test_a_rejected_certificate_says_what_to_do() -> None:
    for error in (
        AssertionError(),
        ConnectionError("connection lost"),
        ua_errors.BadSecurityChecksFailed(),
    ):
        mapped = translate_handshake(error, "connecting")
        assert "trust our certificate" in mapped.hint


def test_a_device_error_passes_as_it_is() -> None:
    error = DeviceUnreachable("x", hint="y", status=0x80310000)
    assert translate(error, "z") is error


def test_a_name_that_is_not_known_says_so() -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert str(translate(error, "connecting")) == "connecting: Name or service not known"
