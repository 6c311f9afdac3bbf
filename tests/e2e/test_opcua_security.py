"""Security and users of the OPC UA driver against node-opcua: every policy, mode and kind of user.

One server for the module, which takes seconds to start.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from forebay.drivers.opcua.identity import fingerprint, loaded, thumbprint
from forebay.errors import DeviceError, DeviceRefused
from forebay.events import CERTIFICATE_EXPIRES, CERTIFICATE_MADE
from support.node_opcua import NAMESPACE, NodeOpcua
from support.opcua import connected, device, read_once
from support.opcua_certificates import eventually, own_certificate, trust
from support.seams import system_seams
from support.streams import other_tasks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cryptography.x509 import Certificate

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]

LEVEL = {"Level": (f"nsu={NAMESPACE};s=Level", "float64")}
POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
MODES = ("SignAndEncrypt", "Sign")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    node_binary: Path, node_opcua_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeOpcua]:
    state = tmp_path_factory.mktemp("node-opcua")
    async with NodeOpcua(node_binary, node_opcua_dir, state) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(
    server: NodeOpcua, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Settings of a gateway that the server trusts, and of its users, by kind."""
    folder = tmp_path_factory.mktemp("gateway")
    secret = folder / "password"
    secret.write_text("secret\n", encoding="utf-8")
    user = own_certificate(folder, "operator")
    kinds: dict[str, dict[str, Any]] = {
        "application": own_certificate(folder)
        | {"server_certificate": Path(server.facts["certificate"])},
        "anonymous": {},
        "name": {"username": "operator", "password_file": secret},
        "certificate": {"user_certificate": user["certificate"], "user_key": user["key"]},
    }

    async def log_in() -> None:
        try:
            settings = kinds["application"] | kinds["certificate"]
            spec = device(server.endpoint, LEVEL, security_policy=POLICIES[0], **settings)
            async with connected(spec):
                pass
        finally:
            for place in ("pki", "users"):
                trust(Path(server.facts[place]))

    await eventually(log_in)
    return kinds


def server_certificate(server: NodeOpcua) -> Certificate:
    return loaded(Path(server.facts["certificate"]).read_bytes())


@pytest.mark.parametrize("user", ["anonymous", "name", "certificate"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("policy", POLICIES)
async def test_every_policy_mode_and_user(
    server: NodeOpcua, gateway: dict[str, dict[str, Any]], policy: str, mode: str, user: str
) -> None:
    settings = gateway["application"] | gateway[user]
    spec = device(server.endpoint, LEVEL, security_policy=policy, security_mode=mode, **settings)
    async with connected(spec) as driver:
        assert (await read_once(driver, spec))["Level"].value == 0.5


@pytest.mark.parametrize("user", ["anonymous", "name", "certificate"])
async def test_without_a_policy_a_user_is_protected_all_the_same(
    server: NodeOpcua, gateway: dict[str, dict[str, Any]], user: str
) -> None:
    """The server says how it wants its tokens: never does a password go in the clear."""
    pinned = {"server_certificate": gateway["application"]["server_certificate"]}
    spec = device(server.endpoint, LEVEL, **pinned, **gateway[user])
    async with connected(spec) as driver:
        assert (await read_once(driver, spec))["Level"].value == 0.5


async def test_from_the_first_start_to_trust(server: NodeOpcua, tmp_path: Path) -> None:
    """Nothing given but the endpoint: each step is refused with what a person needs for the next.

    Our certificate is made once; the server's is shown and not trusted until somebody names it.
    """
    seams, before = system_seams(), other_tasks()
    bare: dict[str, Any] = {"state": tmp_path / "opcua", "security_policy": "Basic256Sha256"}
    right = server_certificate(server)
    with pytest.raises(DeviceRefused, match=fingerprint(right)) as unknown:
        async with connected(device(server.endpoint, LEVEL, **bare), seams):
            pass
    assert other_tasks() == before
    (shown,) = (tmp_path / "opcua/shown/press").iterdir()
    assert str(shown) in str(unknown.value)
    assert loaded(shown.read_bytes()) == right
    own = tmp_path / "opcua/own.pem"
    assert stat.S_IMODE((tmp_path / "opcua/own.key").stat().st_mode) == 0o600

    spec = device(server.endpoint, LEVEL, **bare, server_certificate=shown)
    with pytest.raises(DeviceError) as untrusted:
        async with connected(spec, seams):
            pass
    made = own.read_bytes()
    assert str(own) in untrusted.value.hint
    assert thumbprint(loaded(made)) in untrusted.value.hint
    assert trust(Path(server.facts["pki"])) == 1

    async def trusted() -> None:
        async with connected(spec, seams) as driver:
            assert (await read_once(driver, spec))["Level"].quality == 0

    await eventually(trusted)
    assert own.read_bytes() == made
    assert seams.events.count(CERTIFICATE_MADE) == 1


async def test_another_server_than_the_pinned_one_is_refused(
    server: NodeOpcua, gateway: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    other = own_certificate(tmp_path)["certificate"]
    for policy in ("Basic256Sha256", "None"):
        settings = gateway["application"] | {"server_certificate": other}
        with pytest.raises(DeviceError):
            async with connected(
                device(server.endpoint, LEVEL, security_policy=policy, **settings)
            ):
                pass


async def test_wrong_users_are_refused_with_a_hint(
    server: NodeOpcua, gateway: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong\n", encoding="utf-8")
    stranger = own_certificate(tmp_path, "stranger")
    for user in (
        {"username": "operator", "password_file": secret},
        {"user_certificate": stranger["certificate"], "user_key": stranger["key"]},
    ):
        settings = gateway["application"] | user
        spec = device(server.endpoint, LEVEL, security_policy=POLICIES[0], **settings)
        with pytest.raises(DeviceRefused, match=r"BadUserAccessDenied|BadIdentityToken") as wrong:
            async with connected(spec):
                pass
        assert "user" in wrong.value.hint


async def test_a_certificate_that_ends_soon_is_told(
    server: NodeOpcua, gateway: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    seams = system_seams()
    settings = gateway["application"] | own_certificate(tmp_path, "late", days=10)
    spec = device(server.endpoint, LEVEL, security_policy=POLICIES[0], **settings)

    async def trusted() -> None:
        try:
            async with connected(spec, seams):
                pass
        finally:
            trust(Path(server.facts["pki"]))

    await eventually(trusted)
    assert seams.events.count(CERTIFICATE_EXPIRES, device="press") == 1
