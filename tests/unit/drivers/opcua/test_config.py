"""What a person may write about an OPC UA server; plain text only by writing so."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import forebay.drivers.opcua
from forebay.drivers.opcua import SPEC
from forebay.drivers.opcua.config import OpcUaSettings

PLAIN: dict[str, Any] = {
    "protocol": "opcua",
    "endpoint": "opc.tcp://127.0.0.1:4840",
    "security_policy": "None",
    "tags": (),
}
FILES = {"certificate": "a.pem", "key": "a.key", "server_certificate": "b.pem"}


def test_plain_text_must_be_asked_for() -> None:
    silent = {key: value for key, value in PLAIN.items() if key != "security_policy"}
    for given in (silent, silent | FILES):
        secured = OpcUaSettings.model_validate(given)
        assert secured.security_policy == "Basic256Sha256"
        assert secured.security_mode == "SignAndEncrypt"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:4840",
        "opc.tcp://127.0.0.1",
        "opc.tcp://:4840",
        "opc.tcp://127.0.0.1:99999",
        "opc.tcp://user:secret@127.0.0.1:4840",
        "127.0.0.1:4840",
    ],
)
def test_an_endpoint_that_cannot_be_reached_or_tells_a_password_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError, match="endpoint"):
        OpcUaSettings.model_validate(PLAIN | {"endpoint": endpoint})


@pytest.mark.parametrize(
    "half",
    ["username", "password_file", "certificate", "key", "user_certificate", "user_key"],
)
def test_halves_of_a_proof_come_together(half: str) -> None:
    with pytest.raises(ValidationError, match=f"{half} needs"):
        OpcUaSettings.model_validate(PLAIN | {half: "a"})


def test_there_is_one_user() -> None:
    two = {"username": "a", "password_file": "b", "user_certificate": "c", "user_key": "d"}
    with pytest.raises(ValidationError, match="two users"):
        OpcUaSettings.model_validate(PLAIN | two)


@pytest.mark.parametrize(
    "events",
    [
        {"notifier": "Server"},
        {"notifier": "i=2253;at=x"},
        {"types": ["i=2041", "Alarm"]},
        {"min_severity": 1001},
        {"queue_size": 0},
        {"severity": 5},
    ],
)
def test_events_that_cannot_be_asked_for_are_refused(events: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="events"):
        OpcUaSettings.model_validate(PLAIN | {"events": events})


def test_history_needs_the_times_of_the_server() -> None:
    assert OpcUaSettings.model_validate(PLAIN | {"history": True}).history
    for timestamps in ("gateway", "server"):
        with pytest.raises(ValidationError, match="leave out one of them"):
            OpcUaSettings.model_validate(PLAIN | {"history": True, "timestamps": timestamps})


def test_a_server_needs_no_tags() -> None:
    given = {key: value for key, value in PLAIN.items() if key != "tags"}
    assert OpcUaSettings.model_validate(given).tags == ()


def test_a_wrong_address_is_found_without_the_server() -> None:
    with pytest.raises(ValidationError, match="not a NodeId"):
        SPEC.tag.model_validate({"name": "a", "address": "Line.Temp", "type": "float64"})


def test_the_sample_is_valid() -> None:
    folder = Path(forebay.drivers.opcua.__file__).parent
    sample = tomllib.loads((folder / "sample.toml").read_text(encoding="utf-8"))
    device = sample["devices"]["press"]
    rows = device["tags"]
    settings = SPEC.settings.model_validate(device | {"tags": tuple(rows)})
    tags = [SPEC.tag.model_validate(row) for row in rows]
    assert {tag.group for tag in tags} <= settings.groups.keys()
    assert {group.mode for group in settings.groups.values()} <= SPEC.modes


def test_the_face_of_the_package_does_not_import_asyncua() -> None:
    code = "import sys, forebay.drivers.opcua; sys.exit('asyncua' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
