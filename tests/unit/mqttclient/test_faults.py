"""Every exception that aiomqtt is known to raise has a meaning, and a next step."""

from __future__ import annotations

import inspect
from typing import Any

import aiomqtt.exceptions
import pytest
from aiomqtt.exceptions import MqttCodeError, MqttConnectError, MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from forebay.mqttclient.credentials import CredentialsUnusable
from forebay.mqttclient.faults import LIBRARY_ERRORS, LOST_HINT, Kind, explain

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
def test_every_refusal_to_connect_is_told(code: int) -> None:
    fault = explain(MqttConnectError(reason(code)), "connecting")
    assert fault.kind is (Kind.DENIED if code in (0x86, 0x87) else Kind.REFUSED)
    assert fault.message.startswith("connecting: ")
    assert fault.hint


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (0x84, "3.1.1"),
        (0x85, "client_id"),
        (0x86, "password_file"),
        (0x87, "password_file"),
        (0x8A, "banned"),
        (0x88, "log"),
    ],
)
def test_the_hint_names_the_setting(code: int, hint: str) -> None:
    assert hint in explain(MqttConnectError(reason(code)), "connecting").hint


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (MqttError("Operation timed out"), Kind.SILENT, "firewall"),
        (TimeoutError(), Kind.SILENT, "firewall"),
        (MqttError("[Errno 111] Connection refused"), Kind.LOST, "broker runs"),
        (MqttCodeError(7), Kind.LOST, "broker runs"),
        (MqttCodeError(None), Kind.LOST, "broker runs"),
        (ConnectionResetError(104, "reset"), Kind.LOST, "broker runs"),
        (MqttError("[SSL: CERTIFICATE_VERIFY_FAILED] no issuer"), Kind.UNTRUSTED, "authority"),
        (OSError("[SSL: CERTIFICATE_VERIFY_FAILED] no issuer"), Kind.UNTRUSTED, "authority"),
        (ValueError("x"), Kind.GARBLED, "version"),
        (IndexError("x"), Kind.GARBLED, "version"),
        (RuntimeError("x"), Kind.GARBLED, "version"),
    ],
)
def test_the_kinds_are_those_that_are_acted_upon(error: Exception, kind: Kind, hint: str) -> None:
    assert isinstance(error, LIBRARY_ERRORS)
    fault = explain(error, "listening")
    assert fault.kind is kind
    assert hint in fault.hint


def test_our_own_files_are_told_as_they_are() -> None:
    fault = explain(CredentialsUnusable("ca.pem is gone", hint="bring it back"), "connecting")
    assert fault == (Kind.UNUSABLE, "ca.pem is gone", "bring it back")


def test_two_gateways_under_one_name_are_told_so_whatever_else_would_help() -> None:
    taken = MqttCodeError(reason(0x8E, PacketTypes.DISCONNECT), "x")
    fault = explain(taken, "listening", "ask somebody")
    assert "client_id" in fault.hint
    assert "the connection ended" in fault.message
    assert explain(MqttError("x"), "listening", "ask somebody").hint == "ask somebody"
    assert explain(MqttError("x"), "listening").hint == LOST_HINT
