"""What may be written about any broker; and checking it needs no protocol library."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from forebay.mqttclient.settings import BrokerSettings


def settings(**given: Any) -> BrokerSettings:
    return BrokerSettings.model_validate({"host": "broker", **given})


def test_tls_is_the_default_and_has_its_port() -> None:
    assert settings().tls
    assert settings().port_used == 8883
    assert settings(tls=False).port_used == 1883
    assert settings(port=9).port_used == 9


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"certificate": "a.pem"}, "add key"),
        ({"key": "a.key"}, "add certificate"),
        ({"tls": False, "ca": "ca.pem"}, "need TLS"),
        ({"tls": False, "certificate": "a.pem", "key": "a.key"}, "need TLS"),
        ({"username": "gw"}, "add password_file"),
        ({"password_file": "secret"}, "add username"),
        ({"client_id": "a b"}, "client_id"),
        ({"version": "3.1"}, "version"),
        ({"keepalive": 1}, "keepalive"),
        ({"password": "inline"}, "password"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**given)
    assert said in str(caught.value)


@pytest.mark.parametrize("module", ["settings", "credentials"])
def test_it_imports_no_protocol_library(module: str) -> None:
    code = f"import sys, forebay.mqttclient.{module}; sys.exit('aiomqtt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
