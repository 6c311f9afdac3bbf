"""What may be written about a broker, what topics become, what errors of the library mean."""

from __future__ import annotations

from typing import Any

import pytest
from aiomqtt import MqttCodeError, MqttError
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError

from forebay.errors import UplinkMisbehaved, UplinkUnavailable
from forebay.mqttclient.credentials import CredentialsUnusable
from forebay.uplinks.mqtt.config import MqttUplinkSettings
from forebay.uplinks.mqtt.faults import CONNECTED, refused, translate
from forebay.uplinks.mqtt.topics import fill, level, parse_template

GOOD = {"kind": "mqtt", "host": "broker.example.org"}


def settings(**more: Any) -> MqttUplinkSettings:
    return MqttUplinkSettings.model_validate({**GOOD, **more})


def test_tls_is_the_default_and_has_its_port() -> None:
    assert settings().port_used == 8883
    assert settings(host="localhost", tls=False).port_used == 1883
    assert settings(port=9).port_used == 9


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tls": False}, "plain text would leave this machine for broker.example.org"),
        ({"host": "10.0.0.7", "tls": False}, "insecure = true"),
        ({"certificate": "a.pem"}, "add key"),
        ({"client_id": "a b"}, "client_id"),
        ({"version": "3.1"}, "version"),
        ({"topic": "a/{plant}/{tag}"}, "{plant} is no place"),
        ({"topic": "a/#"}, "wildcard"),
        ({"topic": "a/{tag"}, "brace"),
        ({"topic": "$SYS/{tag}"}, "begins with $"),
        ({"topic": "a//{tag}"}, "empty level"),
        ({"notices": "a/{tag}"}, "{tag} is no place"),
        ({"group_id": "a/b"}, "no level of a topic"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**given)
    assert said in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.9", "::1"])
def test_plain_text_may_stay_on_this_machine(host: str) -> None:
    assert not settings(host=host, tls=False).tls


def test_plain_text_may_leave_if_it_is_said_twice() -> None:
    assert settings(tls=False, insecure=True).port_used == 1883


def test_topics_are_filled() -> None:
    assert parse_template("a/{tag}/{tag}", {"tag", "x"}) == {"tag"}
    assert fill("a/{tag}/b", {"tag": "motor/speed +5%"}) == "a/motor/speed %2B5%25/b"


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_names_never_give_one_topic(first: str, second: str) -> None:
    assert (level(first) == level(second)) == (first == second)
    assert not set(level(first)) & set("+#\x00")


def reason(code: int, packet: int) -> ReasonCode:
    return ReasonCode(packet, identifier=code)


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (CredentialsUnusable("x", hint="renew it"), UplinkUnavailable, "renew it"),
        (TimeoutError(), UplinkUnavailable, "firewall"),
        (ConnectionRefusedError("no"), UplinkUnavailable, "broker runs"),
        (ValueError("surprised"), UplinkMisbehaved, "version"),
        (MqttCodeError(reason(0x8E, PacketTypes.DISCONNECT), "x"), UplinkUnavailable, "client_id"),
    ],
)
def test_every_error_of_the_library_is_one_of_ours(
    error: Exception, kind: type[Exception], hint: str
) -> None:
    translated = translate(error, "connecting")
    assert type(translated) is kind
    assert hint in translated.hint
    assert translate(translated, "again") is translated


def test_a_connection_that_ends_names_the_usual_cause() -> None:
    error = translate(MqttError("the connection ended"), CONNECTED)
    assert "client_id" in error.hint


def test_a_puback_means_received_or_not() -> None:
    assert refused(0, "t", needs_listener=True) is None
    assert refused(0x10, "t", needs_listener=False) is None
    for code, listener in ((0x10, True), (0x87, False), (0x99, False), (0x80, False)):
        error = refused(code, "t", needs_listener=listener)
        assert error is not None
        assert error.hint
