"""Password and certificates are read from files; whatever is wrong with them is told."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

from forebay.files import SystemDisk
from forebay.mqttclient.credentials import (
    Credentials,
    CredentialsUnusable,
    TlsSocket,
    read_credentials,
)
from forebay.mqttclient.settings import BrokerSettings
from support.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


async def read(**given: Any) -> Credentials:
    settings = BrokerSettings.model_validate({"host": "broker", **given})
    return await read_credentials(settings, SystemDisk())


async def told(**given: Any) -> str:
    with pytest.raises(CredentialsUnusable) as caught:
        await read(**given)
    return f"{caught.value} ({caught.value.hint})"


async def test_plain_text_needs_nothing() -> None:
    assert await read(tls=False) == (None, None)


async def test_tls_verifies_the_broker_and_its_name() -> None:
    _, tls = await read()
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    assert tls.sslsocket_class is TlsSocket


async def test_given_authorities_take_the_place_of_the_machines(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("gateway")
    _, tls = await read(ca=authority.ca, certificate=pair.cert, key=pair.key)
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    (trusted,) = tls.get_ca_certs()
    assert trusted["subject"] == ((("commonName", "Test authority"),),)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
async def test_a_password_has_no_line_end(tmp_path: Path, end: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(" gehëim ".encode() + end.encode())
    assert (await read(username="a", password_file=path)).password == " gehëim "


async def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert "gone cannot be read: No such file" in await told(username="a", password_file=gone)
    assert "gone cannot be read: No such file" in await told(ca=gone)
    assert "No such file" in await told(certificate=gone, key=gone)


async def test_files_that_hold_something_else_are_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    mine, other = authority.issue("mine"), authority.issue("other")
    junk = tmp_path / "junk"
    junk.write_bytes(b"\xff\xfe")
    assert "junk is not UTF-8" in await told(username="a", password_file=junk)
    assert "PEM files" in await told(ca=junk)
    assert "PEM files" in await told(ca=mine.key)
    assert "key is that of the certificate" in await told(certificate=mine.cert, key=other.key)
