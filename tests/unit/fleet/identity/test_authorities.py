"""One authority after another: who is trusted when, and steps that were cut off; files of TLS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from forebay_fleet import certificates
from forebay_fleet.cli import app
from forebay_fleet.errors import CertificateError, UsageError
from forebay_fleet.identity import authorities
from forebay_fleet.tls import Credentials

if TYPE_CHECKING:
    from typer.testing import Result


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    certificates.init(tmp_path / "pki", "first")
    return tmp_path / "pki"


def trusted(pki: Path) -> list[str]:
    """Give the names of those that are trusted, the one that signs first."""
    found = authorities.load(pki).trusted
    return [str(next(iter(one.subject)).value) for one in found]


def test_the_life_of_an_authority(pki: Path) -> None:
    assert trusted(pki) == ["first"]
    authorities.rotate(pki, "second")
    assert trusted(pki) == ["first", "second"]
    authorities.switch(pki)
    assert trusted(pki) == ["second", "first"]
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    signed = authorities.load(pki).sign(key, "gw-1", 1, 60.0)
    assert authorities.load(pki).issuer_of(signed) is not None
    authorities.finish(pki)
    assert trusted(pki) == ["second"]
    signed.verify_directly_issued_by(authorities.load(pki).signer)
    assert sorted(path.name for path in pki.iterdir()) == ["ca.crt", "ca.key"]


def test_steps_out_of_order(pki: Path) -> None:
    for step in (authorities.switch, authorities.finish):
        with pytest.raises(CertificateError, match="there is no"):
            step(pki)
    authorities.rotate(pki, "second")
    with pytest.raises(CertificateError, match="there already"):
        authorities.rotate(pki, "third")
    authorities.switch(pki)
    with pytest.raises(CertificateError, match="still trusted"):
        authorities.rotate(pki, "third")


def test_a_switch_that_cannot_see_the_boxes_is_refused(pki: Path, tmp_path: Path) -> None:
    """A forgotten --data would find no boxes, and leave all of them behind."""

    def ask(*words: str) -> Result:
        return CliRunner().invoke(app, ["ca", "rotate", str(pki), *words])

    nowhere = ("--data", str(tmp_path / "nowhere"))
    made = ask(*nowhere)
    assert f"ca rotate {pki} --data {tmp_path / 'nowhere'} --switch" in made.output
    refused = ask(*nowhere, "--switch")
    assert isinstance(refused.exception, UsageError), refused.output
    assert "--force" in refused.exception.hint
    assert trusted(pki) == ["first", "Forebay fleet CA"]
    assert ask(*nowhere, "--switch", "--force").exit_code == 0
    assert trusted(pki) == ["Forebay fleet CA", "first"]


@pytest.mark.parametrize("renames", range(4))
def test_a_switch_that_was_cut_off_is_taken_up_again(
    pki: Path, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    authorities.rotate(pki, "second")
    real, done = Path.replace, 0

    def replace(path: Path, target: Path) -> Path:
        nonlocal done
        if done == renames:
            raise OSError(5, "the power is gone")
        done += 1
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(CertificateError, match="cannot write"):
        authorities.switch(pki)
    monkeypatch.undo()
    authorities.switch(pki)
    assert trusted(pki) == ["second", "first"]
    authorities.finish(pki)
    assert trusted(pki) == ["second"]


def test_the_wrong_key_signs_nothing(pki: Path, tmp_path: Path) -> None:
    other = certificates.init(tmp_path / "other", "other")
    (pki / "ca.key").write_bytes(other.key.read_bytes())
    with pytest.raises(CertificateError, match="is not the key"):
        authorities.load(pki)


def test_a_server_sends_the_authority_that_signed_it(pki: Path) -> None:
    pair = certificates.issue_server(pki, pki, ["localhost"], 1)
    files = Credentials(pair.certificate, pair.key, None, pki)
    authorities.rotate(pki, "second")
    authorities.switch(pki)
    _, chain, roots = files.read()
    leaf, issuer = x509.load_pem_x509_certificates(chain)
    leaf.verify_directly_issued_by(issuer)
    assert len(x509.load_pem_x509_certificates(roots)) == 2
    authorities.finish(pki)
    with pytest.raises(CertificateError, match="another authority"):
        files.read()


def test_a_clock_that_is_slow_may_use_a_short_certificate(pki: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    short = authorities.load(pki).sign(key, "gw-1", 1, 20.0)
    span = short.not_valid_after_utc - short.not_valid_before_utc
    assert 21 <= span.total_seconds() <= 23
