"""A server whose certificate is not the pinned one: a person is told which is which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forebay.drivers.opcua.identity import fingerprint, loaded
from forebay.errors import DeviceError, DeviceRefused, DeviceUnreachable
from forebay.model import Quality
from support.asyncua_server import NAMESPACE, small_server
from support.opcua import connected, device, read_once
from support.opcua_certificates import own_certificate
from support.opcua_secured import secured_server
from support.processes import free_port
from support.streams import other_tasks

if TYPE_CHECKING:
    from pathlib import Path

LEVEL = {"level": (f"nsu={NAMESPACE};s=Level", "float64")}


@pytest.mark.parametrize("policy", ["Basic256Sha256", "None"])
async def test_a_renewed_certificate_is_shown_beside_the_pinned_one(
    tmp_path: Path, policy: str
) -> None:
    port, before = free_port(), other_tasks()
    old, new = (own_certificate(tmp_path, name) for name in ("old", "new"))
    settings: dict[str, Any] = {"security_policy": policy, "state": tmp_path / "state"}
    spec = device(
        f"opc.tcp://127.0.0.1:{port}", LEVEL, **settings, server_certificate=old["certificate"]
    )
    async with secured_server(port, old, Level=1.5), connected(spec) as driver:
        assert (await read_once(driver, spec))["level"].value == 1.5
    async with secured_server(port, new, Level=2.5):
        with pytest.raises(DeviceRefused) as refused:
            async with connected(spec):
                pass
        shown, pinned = (loaded(files["certificate"].read_bytes()) for files in (new, old))
        said = str(refused.value)
        assert said.index(fingerprint(shown)) < said.index(fingerprint(pinned))
        assert "renewed" in refused.value.hint
        (kept,) = (tmp_path / "state/shown/press").iterdir()
        assert str(kept) in said
        assert loaded(kept.read_bytes()) == shown
        again = device(spec.settings.endpoint, LEVEL, **settings, server_certificate=kept)  # type: ignore[attr-defined]
        async with connected(again) as driver:
            assert (await read_once(driver, again))["level"].value == 2.5
    assert other_tasks() == before


async def test_what_is_no_matter_of_the_certificate_is_told_as_before(tmp_path: Path) -> None:
    """A server that is not there, and one that has no certificate to show."""
    pinned = own_certificate(tmp_path)["certificate"]
    settings: dict[str, Any] = {
        "security_policy": "Basic256Sha256",
        "state": tmp_path / "state",
        "server_certificate": pinned,
    }
    with pytest.raises(DeviceUnreachable) as away:
        async with connected(device(f"opc.tcp://127.0.0.1:{free_port()}", LEVEL, **settings)):
            pass
    assert away.value.status == Quality.BAD_NO_COMMUNICATION
    async with small_server(Level=1.5) as server:
        with pytest.raises(DeviceError) as open_only:
            async with connected(device(server.endpoint, LEVEL, **settings)):
                pass
        assert "another certificate" not in str(open_only.value)
        with pytest.raises(DeviceRefused, match="shows no certificate"):
            async with connected(
                device(server.endpoint, LEVEL, **{**settings, "security_policy": "None"})
            ):
                pass
