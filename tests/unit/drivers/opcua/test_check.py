"""What `forebay check` says of an OPC UA device's certificates, and that it starts all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from forebay.drivers.opcua.check import check
from forebay.drivers.opcua.identity import own_files
from forebay.files import SystemDisk
from support.opcua import device
from support.opcua_certificates import own_certificate

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = "opc.tcp://192.0.2.20:4840"


def test_a_server_that_nobody_named_is_told_and_is_no_reason_not_to_start() -> None:
    (fault,) = check(device(ENDPOINT, {}, security_policy="Basic256Sha256"))
    assert fault.path == "devices.press.server_certificate"
    assert (fault.stops, fault.awaited) == (False, True)
    assert not list(check(device(ENDPOINT, {})))
    assert not list(check(device(ENDPOINT, {}, security_policy="Basic256Sha256", enabled=False)))


def test_an_expired_certificate_is_told_and_is_no_reason_not_to_start(tmp_path: Path) -> None:
    late, good = own_certificate(tmp_path, "late", days=-3), own_certificate(tmp_path, "good")
    settings: dict[str, Any] = good | {
        "security_policy": "Basic256Sha256",
        "server_certificate": good["certificate"],
        "user_certificate": late["certificate"],
        "user_key": late["key"],
    }
    (fault,) = check(device(ENDPOINT, {}, **settings))
    assert fault.path == "devices.press.user_certificate"
    assert fault.message.startswith("expired on")
    assert not fault.stops


def test_what_is_no_certificate_stops(tmp_path: Path) -> None:
    file = tmp_path / "server.pem"
    file.write_text("something else", encoding="utf-8")
    settings: dict[str, Any] = {"security_policy": "Basic256Sha256", "server_certificate": file}
    (fault,) = check(device(ENDPOINT, {}, **settings))
    assert fault.message == "holds no certificate"
    assert fault.stops


def test_a_key_is_held_against_its_certificate(tmp_path: Path) -> None:
    one: dict[str, Any] = {**own_certificate(tmp_path, "one")}
    two = own_certificate(tmp_path, "two")
    settings: dict[str, Any] = {
        "security_policy": "Basic256Sha256",
        "server_certificate": two["certificate"],
    }
    assert not list(check(device(ENDPOINT, {}, **settings, **one)))
    mixed = one | {"key": two["key"]}
    (fault,) = check(device(ENDPOINT, {}, **settings, **mixed))
    assert (fault.path, fault.message) == (
        "devices.press.key",
        "is not the key of its certificate",
    )
    locked = load_pem_private_key(one["key"].read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    curve = generate_private_key(SECP256R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    for content, message in (
        (locked, "is locked with a passphrase"),
        (curve, "is not an RSA key"),
        (b"x", "holds no private key, or its certificate is none"),
    ):
        one["key"].write_bytes(content)
        (fault,) = check(device(ENDPOINT, {}, **settings, **one))
        assert fault.message == message


def test_an_open_key_of_our_own_is_told_and_stops_this_device_alone(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"state": tmp_path, "security_policy": "Basic256Sha256"}
    settings["server_certificate"] = own_certificate(tmp_path, "server")["certificate"]
    spec = device(ENDPOINT, {}, **settings)
    assert not list(check(spec))
    assert own_files(tmp_path, "h", 0, SystemDisk()) is not None
    assert not list(check(spec))
    (tmp_path / "own.key").chmod(0o644)
    (fault,) = check(spec)
    assert (fault.path, fault.stops) == ("devices.press.key", False)
    assert fault.hint.startswith(f"chmod 600 {tmp_path / 'own.key'}")
