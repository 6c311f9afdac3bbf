"""Every kind of fault becomes a DeviceError to act upon, with a quality for the values."""

from __future__ import annotations

from typing import Any

import pytest
from aiomqtt.exceptions import MqttCodeError, MqttConnectError, MqttError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from forebay.drivers.mqtt.faults import translate
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable, ProtocolViolation
from forebay.model import Quality
from forebay.mqttclient.credentials import CredentialsUnusable
from forebay.mqttclient.faults import Kind, explain


def refusal(code: int) -> Any:
    return MqttConnectError(ReasonCode(PacketTypes.CONNACK, identifier=code))


CASES = [
    (CredentialsUnusable("x", hint="y"), DeviceRefused, Quality.BAD_CONFIGURATION_ERROR),
    (refusal(0x87), DeviceRefused, 0x801F_0000),
    (refusal(0x88), DeviceRefused, Quality.BAD_COMMUNICATION_ERROR),
    (MqttError("CERTIFICATE_VERIFY_FAILED"), DeviceRefused, Quality.BAD_COMMUNICATION_ERROR),
    (MqttError("Operation timed out"), DeviceUnreachable, Quality.BAD_TIMEOUT),
    (MqttCodeError(7), DeviceUnreachable, Quality.BAD_NO_COMMUNICATION),
    (ValueError("x"), ProtocolViolation, Quality.BAD_DECODING_ERROR),
]


@pytest.mark.parametrize(("error", "kind", "status"), CASES)
def test_the_branches_are_those_that_a_session_acts_upon(
    error: Exception, kind: type[DeviceError], status: int
) -> None:
    mapped = translate(error, "listening")
    assert type(mapped) is kind
    assert mapped.status == status
    assert mapped.hint
    assert translate(mapped, "again") is mapped


def test_every_kind_of_fault_is_among_the_cases() -> None:
    assert {explain(error, "listening").kind for error, _, _ in CASES} == set(Kind)
