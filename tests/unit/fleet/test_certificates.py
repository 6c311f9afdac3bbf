"""Keys stay secret, names are what was asked for, nothing is written over."""

from __future__ import annotations

import ipaddress
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from forebay_fleet.certificates import init, issue_gateway, issue_server
from forebay_fleet.errors import CertificateError

if TYPE_CHECKING:
    from pathlib import Path


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_an_outside_verifier_accepts_what_is_issued(tmp_path: Path) -> None:
    ca = load(init(tmp_path, "CA").certificate)
    server = load(
        issue_server(tmp_path, tmp_path, ["fleet.example.org", "10.0.0.1"], 30).certificate
    )
    builder = PolicyBuilder().store(Store([ca]))
    builder.build_server_verifier(x509.DNSName("fleet.example.org")).verify(server, [])
    address = x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
    builder.build_server_verifier(address).verify(server, [])


def test_a_gateways_name_is_its_common_name(tmp_path: Path) -> None:
    ca = load(init(tmp_path, "CA").certificate)
    pair = issue_gateway(tmp_path, tmp_path / "out", "press-hall-1", 30)
    certificate = load(pair.certificate)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [name.value for name in names] == ["press-hall-1"]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(ca)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"


def test_keys_are_for_the_owner_alone(tmp_path: Path) -> None:
    for pair in (init(tmp_path, "CA"), issue_gateway(tmp_path, tmp_path, "g", 1)):
        assert stat.S_IMODE(pair.key.stat().st_mode) == 0o600


def test_nothing_is_written_over(tmp_path: Path) -> None:
    key = init(tmp_path, "CA").key
    before = key.read_bytes()
    with pytest.raises(CertificateError, match="already"):
        init(tmp_path, "CA")
    assert key.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a b", "../x", "ca", "server", "x" * 65, "ä"])
def test_names_that_no_gateway_has(tmp_path: Path, name: str) -> None:
    init(tmp_path, "CA")
    with pytest.raises(CertificateError, match="gateway id"):
        issue_gateway(tmp_path, tmp_path, name, 1)


def test_a_missing_or_broken_ca_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="no CA"):
        issue_gateway(tmp_path, tmp_path, "g", 1)
    (tmp_path / "ca.crt").write_text("no")
    (tmp_path / "ca.key").write_text("no")
    with pytest.raises(CertificateError, match="no CA"):
        issue_server(tmp_path, tmp_path, ["localhost"], 1)
