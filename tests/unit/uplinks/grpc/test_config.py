"""Settings of a fleet server: TLS unless it cannot leave the machine; addresses that read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from forebay.uplinks.grpc.config import GrpcSettings, split_address

TLS = {"ca": "ca.pem", "cert": "gw.pem", "key": "gw.key"}


def test_mutual_tls_is_the_default() -> None:
    settings = GrpcSettings.model_validate({"kind": "grpc", "address": "fleet:7443", **TLS})
    assert (settings.ca, settings.plaintext) == (Path("ca.pem"), False)


@pytest.mark.parametrize("missing", ["ca", "cert", "key"])
def test_each_file_of_tls_is_needed(missing: str) -> None:
    files = {name: path for name, path in TLS.items() if name != missing}
    with pytest.raises(ValidationError, match=f"mutual TLS needs {missing}; give"):
        GrpcSettings.model_validate({"kind": "grpc", "address": "fleet:7443", **files})


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1"])
def test_plaintext_stays_on_the_machine(address: str) -> None:
    settings = GrpcSettings.model_validate({"kind": "grpc", "address": address, "plaintext": True})
    assert settings.plaintext


@pytest.mark.parametrize(
    "address", ["fleet:1", "10.0.0.1:1", "[fe80::1]:1", "localhost.example.org:1", "0.0.0.0:1"]
)
def test_plaintext_never_leaves_the_machine(address: str) -> None:
    with pytest.raises(ValidationError, match="plaintext is only for this machine"):
        GrpcSettings.model_validate({"kind": "grpc", "address": address, "plaintext": True})


def test_plaintext_beside_tls_files_is_a_contradiction() -> None:
    values = {"kind": "grpc", "address": "localhost:1", "plaintext": True, "ca": "ca.pem"}
    with pytest.raises(ValidationError, match="plaintext uses no ca"):
        GrpcSettings.model_validate(values)


@pytest.mark.parametrize(
    "address",
    ["fleet", "fleet:", ":1", "fleet:0", "fleet:65536", "::1:1", "https://fleet:1", "a b:1"],
)
def test_addresses_that_do_not_read(address: str) -> None:
    with pytest.raises(ValidationError, match="address"):
        GrpcSettings.model_validate({"kind": "grpc", "address": address, **TLS})


def test_address_parts() -> None:
    assert split_address("[::1]:7443") == ("::1", 7443)
    assert split_address("fleet.example.org:1") == ("fleet.example.org", 1)


def test_an_identity_stands_for_the_files_of_tls() -> None:
    values = {"kind": "grpc", "address": "fleet:1", "identity": "fleet"}
    assert GrpcSettings.model_validate(values).identity == Path("fleet")
    with pytest.raises(ValidationError, match="remove ca, cert, key"):
        GrpcSettings.model_validate(values | TLS)
    with pytest.raises(ValidationError, match="remove plaintext"):
        GrpcSettings.model_validate(values | {"address": "localhost:1", "plaintext": True})
    with pytest.raises(ValidationError, match='write "fleet"'):
        GrpcSettings.model_validate(values | {"identity": "/etc/passwd"})
