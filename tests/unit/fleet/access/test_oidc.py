"""Coming back from a provider: whatever is not as OpenID Connect has it lets nobody in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import RSAKey

from forebay_fleet.access.oidc import asking
from forebay_fleet.access.oidc.provider import Person, Provider
from forebay_fleet.access.oidc.settings import OidcSettings, load
from forebay_fleet.access.roles import Role
from forebay_fleet.errors import SignInFailed, UsageError
from support.lying_provider import CLIENT, SECRET, LyingProvider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SECRETS = {"client_secret_file": '"key"', "ca": '"ca.pem"'}
ROLES = {"plant-people": "viewer", "plant-admins": "admin"}


@pytest.fixture
async def lying() -> AsyncIterator[LyingProvider]:
    async with LyingProvider() as provider:
        yield provider


def make(lying: LyingProvider, clock: Callable[[], float] = time.monotonic) -> Provider:
    settings = OidcSettings(
        issuer=lying.issuer, client_id=CLIENT, page="https://fleet.example", roles=ROLES
    )
    return Provider(settings, SECRET, clock)


async def come(lying: LyingProvider, provider: Provider) -> Person:
    address, secret = await provider.begin()
    return await provider.finish(secret, lying.way(address))


async def test_who_comes_back_is_known_by_subject_name_and_highest_role(
    lying: LyingProvider,
) -> None:
    lying.person["groups"] = ["plant-people", "plant-admins", "others"]
    found = await come(lying, make(lying))
    assert found == Person(f"{lying.issuer}#17", "eva", Role.ADMIN)
    assert lying.asked["redirect_uri"] == "https://fleet.example/sign-in/oidc/back"
    assert lying.asked["scope"] == "openid profile email"


async def test_what_the_id_token_does_not_tell_is_asked_for(lying: LyingProvider) -> None:
    lying.told = {"sub": "17", **lying.person}
    assert (await come(lying, make(lying))).role is Role.ADMIN
    lying.told = {"sub": "18", **lying.person}
    with pytest.raises(SignInFailed, match="somebody else"):
        await come(lying, make(lying))


LIES: dict[str, dict[str, Any]] = {
    "another nonce": {"nonce": "of another sign-in"},
    "no nonce": {"nonce": None},
    "for another client": {"aud": "somebody else"},
    "for two, and asked by the other": {"aud": [CLIENT, "other"], "azp": "other"},
    "of another issuer": {"iss": "https://evil.example"},
    "over": {"exp": int(time.time()) - 3600},
    "without an end": {"exp": None},
    "of nobody": {"sub": None},
    "with a name that is none": {"preferred_username": 17},
    "without a role": {"groups": ["others"]},
    "with a role that is no text": {"groups": [["plant-admins"]]},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_an_id_token_that_lies_lets_nobody_in(
    lying: LyingProvider, lie: dict[str, Any]
) -> None:
    def changed(claims: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in (claims | lie).items() if value is not None}

    lying.claims = changed
    with pytest.raises(SignInFailed):
        await come(lying, make(lying))
    assert lying.tokens_given == 1


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
async def test_a_token_that_no_key_of_the_provider_signed_is_refused(
    lying: LyingProvider, algorithm: str
) -> None:
    if algorithm == "HS256":
        lying.header["alg"] = algorithm
    else:
        lying.shown = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
    with pytest.raises(SignInFailed, match="not good"):
        await come(lying, make(lying))


async def test_a_new_key_of_the_provider_is_asked_for_but_not_all_the_time(
    lying: LyingProvider,
) -> None:
    now_s = 1000.0
    provider = make(lying, lambda: now_s)
    await come(lying, provider)
    lying.key = lying.shown = RSAKey.generate_key(2048, {"kid": "two", "use": "sig"})
    lying.header["kid"] = "two"
    with pytest.raises(SignInFailed, match="not good"):
        await come(lying, provider)
    now_s += asking.ANEW_S
    assert (await come(lying, provider)).name == "eva"


async def test_only_the_browser_that_began_may_come_back(lying: LyingProvider) -> None:
    provider = make(lying)
    address, secret = await provider.begin()
    _, other = await provider.begin()
    query = lying.way(address)
    for cookie, given in (
        (other, query),
        ("", query),
        (secret, query | {"state": ""}),
        (secret, {**query, "state": "ä"}),
        (secret, query | {"iss": "https://evil.example"}),
        (secret, {name: value for name, value in query.items() if name != "iss"}),
        (secret, {"state": query["state"], "error": "access_denied"}),
        (secret, {"state": query["state"]}),
    ):
        with pytest.raises(SignInFailed):
            await provider.finish(cookie, given)
    assert lying.tokens_given == 0
    assert (await provider.finish(secret, query)).name == "eva"


async def test_a_provider_that_is_another_or_too_long_is_told(lying: LyingProvider) -> None:
    lying.document = lambda found: found | {"issuer": "https://evil.example"}
    with pytest.raises(SignInFailed, match="calls itself"):
        await make(lying).begin()
    lying.document = lambda found: found | {"padding": "x" * asking.MOST_BYTES}
    with pytest.raises(SignInFailed, match="too long"):
        await make(lying).begin()
    lying.document = lambda found: {"issuer": found["issuer"]}
    with pytest.raises(SignInFailed, match="unsound"):
        await make(lying).begin()


def write(tmp_path: Path, **changed: object) -> Path:
    table = {"issuer": '"https://sso.example"', "client_id": '"forebay"'}
    table |= {"page": '"https://fleet.example"'}
    lines = [f"{name} = {value}" for name, value in (table | changed).items()]
    path = tmp_path / "oidc.toml"
    path.write_text("\n".join([*lines, "[roles]", 'plant = "viewer"', ""]), "utf-8")
    return path


def test_the_file_is_read_with_its_secret_beside_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n", "utf-8")
    settings, secret = load(write(tmp_path, **SECRETS))
    assert secret == "s3cret"
    assert settings.ca == tmp_path / "ca.pem"
    assert settings.roles == {"plant": "viewer"}


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": '"http://sso.example"'},
        {"issuer": "17"},
        {"page": '"ftp://x"'},
        {"client_secret": '"in the file"'},
        {"client_secret_file": '"not there"'},
        {"scopes": "[["},
    ],
)
def test_a_file_that_is_not_sound_is_refused(tmp_path: Path, changed: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        load(write(tmp_path, **changed))
