"""Our own certificate: made once, whole, for nobody else to read."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from forebay.drivers.opcua.identity import (
    UnprotectedKeyError,
    application_uri,
    fingerprint,
    keep_shown,
    loaded,
    make,
    own_files,
    thumbprint,
)
from forebay.files import SystemDisk

if TYPE_CHECKING:
    from pathlib import Path

NOW_NS = 1_800_000_000 * 10**9


def test_it_is_made_once_and_its_key_is_ours_alone(tmp_path: Path) -> None:
    folder, disk = tmp_path / "opcua", SystemDisk()
    first = own_files(folder, "press-hall-1", NOW_NS, disk)
    assert first is not None
    assert first.made
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    certificate = loaded(first.certificate.read_bytes())
    key = load_pem_private_key(first.key.read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert application_uri(certificate) == "urn:press-hall-1:forebay"
    before = first.certificate.read_bytes(), first.key.read_bytes()
    again = own_files(folder, "another", NOW_NS, disk)
    assert again is not None
    assert not again.made
    assert (again.certificate.read_bytes(), again.key.read_bytes()) == before


def test_a_half_that_a_crash_left_is_made_whole(tmp_path: Path) -> None:
    first = own_files(tmp_path, "h", NOW_NS, SystemDisk())
    assert first is not None
    first.certificate.unlink()
    again = own_files(tmp_path, "h", NOW_NS, SystemDisk())
    assert again is not None
    assert again.made
    key = load_pem_private_key(again.key.read_bytes(), None)
    assert key.public_key() == loaded(again.certificate.read_bytes()).public_key()


def test_many_devices_at_once_get_the_same(tmp_path: Path) -> None:
    """Whoever comes while another makes it is told to come again."""
    seen: set[bytes] = set()
    made: list[bool] = []

    def ask() -> None:
        while (files := own_files(tmp_path, "h", NOW_NS, SystemDisk())) is None:
            pause.wait(0.01)
        seen.add(files.certificate.read_bytes())
        made.append(files.made)

    pause = threading.Event()
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 1
    assert sorted(made) == [False] * 7 + [True]


@pytest.mark.parametrize("now_s", [0, 1_800_000_000])
def test_neither_a_new_gateway_nor_a_forgetful_controller_finds_it_too_new(now_s: int) -> None:
    certificate = loaded(make("h", now_s * 10**9)[1])
    assert certificate.not_valid_before_utc == datetime(2000, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc > datetime(2045, 1, 1, tzinfo=UTC)


def test_a_host_name_that_is_none_for_dns_is_no_obstacle() -> None:
    certificate = loaded(make("presse-ä", NOW_NS)[1])
    assert (application_uri(certificate) or "").endswith(":forebay")


def test_what_a_server_shows_is_kept_by_its_fingerprint_and_not_without_end(
    tmp_path: Path,
) -> None:
    folder, disk = tmp_path / "shown", SystemDisk()
    certificates = [loaded(make(f"h{n}", NOW_NS)[1]) for n in range(9)]
    paths = [keep_shown(folder, certificate, disk) for certificate in certificates]
    assert paths[8] is None
    assert keep_shown(folder, certificates[0], disk) == paths[0]
    assert paths[0] is not None
    assert loaded(paths[0].read_bytes()) == certificates[0]
    assert len(list(folder.iterdir())) == 8


def test_a_chain_gives_its_first() -> None:
    one, two = (loaded(make(name, NOW_NS)[1]) for name in "ab")
    assert loaded(b"".join(c.public_bytes(Encoding.DER) for c in (one, two))) == one
    assert fingerprint(one).count(":") == 31
    assert len(thumbprint(one)) == 40
    with pytest.raises(ValueError):  # noqa: PT011 - of the library
        loaded(b"no certificate")


def test_it_says_what_an_applications_own_certificate_has_to_say() -> None:
    """OPC UA Part 6, 6.2.2, of 1.05: no authority, and yet keyCertSign as it signed itself."""
    extensions = loaded(make("h", NOW_NS)[1]).extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert usage.content_commitment
    assert usage.key_encipherment
    assert usage.data_encipherment
    assert usage.key_cert_sign
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    named = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    by = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert named.key_identifier == by.key_identifier


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_read_or_change_is_not_used(tmp_path: Path, mode: int) -> None:
    first = own_files(tmp_path, "h", NOW_NS, SystemDisk())
    assert first is not None
    first.key.chmod(mode)
    with pytest.raises(UnprotectedKeyError) as refused:
        own_files(tmp_path, "h", NOW_NS, SystemDisk())
    assert refused.value.hint.startswith(f"chmod 600 {first.key}")
    first.key.chmod(0o600)
    again = own_files(tmp_path, "h", NOW_NS, SystemDisk())
    assert again is not None
    assert not again.made
