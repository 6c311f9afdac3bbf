"""Every exception that aiomqtt is known to raise becomes a DeviceError to act upon."""

from __future__ import annotations

import inspect
from typing import Any

import aiomqtt.exceptions
import pytest
from aiomqtt.exceptions import MqttCodeError, MqttConnectError, MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from forebay.drivers.mqtt.faults import LIBRARY_ERRORS, translate
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.model import is_bad

CONNECT_CODES = (0x80, 0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x95, 0x97, 0x9F)


def reason(code: int, packet: int = PacketTypes.CONNACK) -> Any:
    return ReasonCode(packet, identifier=code)


def test_every_exception_of_aiomqtt_is_caught() -> None:
    own = [
        e
        for _, e in inspect.getmembers(aiomqtt.exceptions, inspect.isclass)
        if issubclass(e, Exception)
    ]
    assert len(own) >= 4
    assert all(issubclass(error, LIBRARY_ERRORS) for error in own)


@pytest.mark.parametrize("code", CONNECT_CODES)
def test_every_refusal_to_connect_is_mapped(code: int) -> None:
    error = translate(MqttConnectError(reason(code)), "connecting")
    assert isinstance(error, DeviceRefused)
    assert is_bad(error.status)
    assert error.hint


@pytest.mark.parametrize(
    ("code", "hint"),
    [(0x84, "3.1.1"), (0x85, "client_id"), (0x86, "password_file"), (0x87, "password_file")],
)
def test_the_hint_names_the_setting(code: int, hint: str) -> None:
    assert hint in translate(MqttConnectError(reason(code)), "connecting").hint


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MqttError("Operation timed out"), DeviceUnreachable),
        (MqttError("[Errno 111] Connection refused"), DeviceUnreachable),
        (MqttError("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get issuer"), DeviceRefused),
        (MqttCodeError(7), DeviceUnreachable),
        (MqttCodeError(None), DeviceUnreachable),
        (ConnectionResetError(104, "reset"), DeviceUnreachable),
        (TimeoutError(), DeviceUnreachable),
        (ValueError("x"), ProtocolViolation),
        (IndexError("x"), ProtocolViolation),
        (RuntimeError("x"), ProtocolViolation),
    ],
)
def test_the_branches_are_those_that_a_session_acts_upon(
    error: Exception, kind: type[DeviceError]
) -> None:
    assert isinstance(error, LIBRARY_ERRORS)
    mapped = translate(error, "listening")
    assert type(mapped) is kind
    assert is_bad(mapped.status)
    assert mapped.hint


def test_two_gateways_under_one_name_are_told_so() -> None:
    taken = MqttCodeError(reason(0x8E, PacketTypes.DISCONNECT), "x")
    assert "client_id" in translate(taken, "listening").hint
