"""What a person may write about a broker; plain text only by writing so."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import forebay.drivers.mqtt
from forebay.drivers.mqtt import SPEC
from forebay.drivers.mqtt.config import MqttSettings

LEAST: dict[str, Any] = {"protocol": "mqtt", "host": "broker", "tags": ()}


def test_the_defaults_are_the_careful_ones() -> None:
    settings = MqttSettings.model_validate(LEAST)
    assert settings.tls
    assert settings.port_used == 8883
    assert (settings.qos, settings.clean_session) == (1, False)
    plain = MqttSettings.model_validate(LEAST | {"tls": False})
    assert plain.port_used == 1883


@pytest.mark.parametrize(
    "wrong",
    [
        {"certificate": "a.pem"},
        {"qos": 2},
        {"session_expiry": 1},
        {"client_id": "a b"},
        {"version": "3.1"},
        {"password": "inline"},
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MqttSettings.model_validate(LEAST | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "a/+/b"},
        {"address": "a/#"},
        {"address": "a#b"},
        {"address": "a", "time": "/t"},
        {"address": "a#/b", "time": "t"},
    ],
)
def test_a_wrong_tag_is_found_without_the_broker(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SPEC.tag.model_validate({"name": "a", "type": "float64", **wrong})


def test_the_sample_is_valid() -> None:
    folder = Path(forebay.drivers.mqtt.__file__).parent
    sample = tomllib.loads((folder / "sample.toml").read_text(encoding="utf-8"))
    device = sample["devices"]["conveyor"]
    rows = device["tags"]
    settings = SPEC.settings.model_validate(device | {"tags": tuple(rows)})
    tags = [SPEC.tag.model_validate(row) for row in rows]
    assert {tag.group for tag in tags} <= settings.groups.keys()
    assert {group.mode for group in settings.groups.values()} <= SPEC.modes


def test_the_face_of_the_package_does_not_import_aiomqtt() -> None:
    code = "import sys, forebay.drivers.mqtt; sys.exit('aiomqtt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
