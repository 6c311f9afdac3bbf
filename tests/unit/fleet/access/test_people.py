"""Users, sessions and tokens: who may come, until when, and that all of it stands in the trail."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import structlog

from forebay_fleet.access import apitokens, sessions, trail, users
from forebay_fleet.access.roles import Principal, Role
from forebay_fleet.access.signing_in import AT_ONCE, SigningIn, TooOften
from forebay_fleet.errors import UsageError
from forebay_fleet.identity.throttle import FAILURES
from forebay_fleet.registry import Registry, RegistryThread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOT = Principal("root", Role.ADMIN, "command line")
PASSWORD = "four unrelated words here"
NOW_NS = time.time_ns()
S = 10**9


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(tmp_path) as opened:
        trail.prepare(opened)
        yield opened


def add(registry: Registry, name: str, role: Role = Role.ADMIN) -> None:
    users.add(registry, ROOT, name, role, PASSWORD, "new")


@pytest.mark.parametrize(
    "password", ["short", "ada is my own name", "aaaabbbbaaaabbbb", "x" * 257, ""]
)
def test_a_password_that_is_easy_to_guess_is_refused(registry: Registry, password: str) -> None:
    with pytest.raises(UsageError):
        users.add(registry, ROOT, "ada", Role.VIEWER, password, "")
    assert users.listed(registry) == []


@pytest.mark.parametrize("name", ["", "-x", "a b", "x" * 65, "a/b", "ä"])
def test_a_name_is_one_that_can_be_written_anywhere(registry: Registry, name: str) -> None:
    with pytest.raises(UsageError):
        users.add(registry, ROOT, name, Role.VIEWER, PASSWORD, "")


def test_a_password_is_kept_as_argon2id_alone(registry: Registry, tmp_path: Path) -> None:
    add(registry, "ada")
    kept = users.secret_of(registry, "ada")
    assert kept.startswith("$argon2id$")
    assert users.matches(PASSWORD, kept)
    assert not users.matches(PASSWORD + " ", kept)
    assert not users.matches(PASSWORD, users.secret_of(registry, "nobody"))
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert PASSWORD.encode() not in files


def test_the_last_admin_stays(registry: Registry) -> None:
    add(registry, "ada")
    with pytest.raises(UsageError, match="nobody would be admin"):
        users.set_role(registry, ROOT, "ada", Role.VIEWER, "")
    with pytest.raises(UsageError, match="nobody would be admin"):
        users.set_disabled(registry, ROOT, "ada", "", disabled=True)
    add(registry, "bob")
    users.set_role(registry, ROOT, "ada", Role.VIEWER, "gone to another plant")
    assert [(row.name, row.role) for row in users.listed(registry)] == [
        ("ada", Role.VIEWER),
        ("bob", Role.ADMIN),
    ]


def test_a_session_ends_by_time_by_idleness_and_with_its_user(registry: Registry) -> None:
    add(registry, "ada")
    add(registry, "bob")
    secret = sessions.begin(registry, "ada", "password", NOW_NS)
    assert secret is not None
    found = sessions.find(registry, secret, NOW_NS + S)
    assert found is not None
    assert found.principal == Principal("ada", Role.ADMIN, "password")
    idle_ns, longest_ns = int(sessions.IDLE_S * S), int(sessions.LONGEST_S * S)
    assert sessions.find(registry, secret, NOW_NS + idle_ns) is None
    for at_ns in range(NOW_NS, NOW_NS + longest_ns, idle_ns // 2):
        assert sessions.find(registry, secret, at_ns) is not None
    assert sessions.find(registry, secret, NOW_NS + longest_ns) is None
    assert sessions.find(registry, secret[:-1] + "_", NOW_NS) is None
    assert sessions.find(registry, "x" * 1000, NOW_NS) is None
    users.set_disabled(registry, ROOT, "ada", "left", disabled=True)
    assert sessions.find(registry, secret, NOW_NS + S) is None
    assert sessions.begin(registry, "ada", "password", NOW_NS) is None


def test_looking_on_is_no_use_of_a_session(registry: Registry) -> None:
    add(registry, "ada")
    secret = sessions.begin(registry, "ada", "password", NOW_NS)
    assert secret is not None
    idle_ns = int(sessions.IDLE_S * S)
    for at_ns in range(NOW_NS, NOW_NS + idle_ns, 60 * S):
        assert sessions.find(registry, secret, at_ns, used=False) is not None
    assert sessions.find(registry, secret, NOW_NS + idle_ns, used=False) is None


def test_another_password_and_another_role_count_at_once(registry: Registry) -> None:
    add(registry, "ada")
    add(registry, "bob")
    secret = sessions.begin(registry, "bob", "password", NOW_NS)
    assert secret is not None
    users.set_role(registry, ROOT, "bob", Role.VIEWER, "")
    found = sessions.find(registry, secret, NOW_NS)
    assert found is not None
    assert found.principal.role is Role.VIEWER
    users.set_password(registry, ROOT, "bob", PASSWORD + "!", "forgot")
    assert sessions.find(registry, secret, NOW_NS) is None


def test_the_oldest_session_goes_when_there_are_too_many(registry: Registry) -> None:
    add(registry, "ada")
    made = [
        sessions.begin(registry, "ada", "password", NOW_NS + number)
        for number in range(sessions.MOST_A_USER + 2)
    ]
    open_ = [sessions.find(registry, one or "", NOW_NS + S) is not None for one in made]
    assert open_ == [False, False] + [True] * sessions.MOST_A_USER
    assert len(sessions.of(registry, "ada", NOW_NS + S)) == sessions.MOST_A_USER
    sessions.end_all(registry, Principal("ada", Role.ADMIN, "password"))
    assert sessions.of(registry, "ada", NOW_NS + S) == []


def test_a_token_is_good_for_its_time_and_its_role(registry: Registry) -> None:
    text, row = apitokens.create(registry, ROOT, "mes", Role.VIEWER, 60.0, NOW_NS, "for the MES")
    assert apitokens.find(registry, text, NOW_NS) == Principal("token:mes", Role.VIEWER, "token")
    assert apitokens.find(registry, text, NOW_NS + 60 * S) is None
    assert apitokens.find(registry, text[:-1], NOW_NS) is None
    assert row.state(NOW_NS) == "open"
    assert apitokens.listed(registry)[0].used_ns == NOW_NS
    apitokens.revoke(registry, ROOT, row.id, NOW_NS, "seen in a log")
    assert apitokens.find(registry, text, NOW_NS) is None
    assert apitokens.listed(registry)[0].state(NOW_NS) == "revoked"


def test_nobody_makes_a_token_that_may_more_than_its_maker(registry: Registry) -> None:
    viewer = Principal("vic", Role.VIEWER, "password")
    with pytest.raises(UsageError, match="cannot make a token of role operator"):
        apitokens.create(registry, viewer, "mes", Role.OPERATOR, 60.0, NOW_NS, "")
    for seconds in (0.0, apitokens.LONGEST_S + 1):
        with pytest.raises(UsageError, match="a year at most"):
            apitokens.create(registry, ROOT, "mes", Role.VIEWER, seconds, NOW_NS, "")
    assert apitokens.listed(registry) == []


def test_who_comes_from_a_provider_keeps_a_name_and_gets_the_roles_of_now(
    registry: Registry,
) -> None:
    add(registry, "ada")
    come = users.come_by(registry, "https://sso.example#17", "eva@example.org", Role.VIEWER)
    assert come == "eva@example.org"
    again = users.come_by(registry, "https://sso.example#17", "eva.new@example.org", Role.ADMIN)
    assert again == come
    assert [row.role for row in users.listed(registry) if not row.local] == [Role.ADMIN]
    with pytest.raises(UsageError, match="somebody else's name"):
        users.come_by(registry, "https://sso.example#18", "ada", Role.ADMIN)
    with pytest.raises(UsageError, match="signs in by OIDC"):
        users.set_password(registry, ROOT, come, PASSWORD, "")
    with pytest.raises(UsageError, match="signs in by OIDC"):
        users.set_role(registry, ROOT, come, Role.VIEWER, "")
    assert not users.matches(PASSWORD, users.secret_of(registry, come))


def test_all_of_it_stands_in_the_trail_and_nothing_secret(registry: Registry) -> None:
    add(registry, "ada")
    users.set_password(registry, ROOT, "ada", PASSWORD + "!", "forgot")
    text, row = apitokens.create(registry, ROOT, "mes", Role.VIEWER, 60.0, NOW_NS, "for the MES")
    apitokens.revoke(registry, ROOT, row.id, NOW_NS, "seen in a log")
    entries = trail.entries(registry)
    whats = ["api-token.revoke", "api-token.add", "user.password", "user.add"]
    assert [entry.what for entry in entries] == whats
    assert [entry.why for entry in entries] == ["seen in a log", "for the MES", "forgot", "new"]
    assert {(entry.who, entry.via) for entry in entries} == {("root", "command line")}
    assert PASSWORD not in str(entries)
    assert text not in str(entries)
    assert len(trail.entries(registry, subject=row.id)) == 2
    older = trail.entries(registry, before=entries[1].id)
    assert [entry.what for entry in older] == whats[2:]


def test_tokens_that_ended_long_since_make_room(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apitokens, "MOST_TOKENS", 1)
    apitokens.create(registry, ROOT, "old", Role.VIEWER, 60.0, NOW_NS, "")
    with pytest.raises(UsageError, match="too many tokens"):
        apitokens.create(registry, ROOT, "new", Role.VIEWER, 60.0, NOW_NS + 100 * S, "")
    apitokens.create(registry, ROOT, "new", Role.VIEWER, 60.0, NOW_NS + 31 * 86_400 * S, "")
    assert [row.name for row in apitokens.listed(registry)] == ["new"]


async def test_who_guesses_is_slowed_down_by_name_and_by_address(tmp_path: Path) -> None:
    async with RegistryThread(tmp_path) as registry:
        await registry(trail.prepare)
        await registry(lambda opened: add(opened, "ada"))
        signing_in = SigningIn(registry)
        for number in range(FAILURES):
            assert await signing_in("ada", "a wrong password", f"10.0.0.{number}") is None
        with pytest.raises(TooOften) as often:
            await signing_in("ada", PASSWORD, "10.0.1.1")
        assert 0 < often.value.wait_s < 60
        for number in range(FAILURES):
            assert await signing_in(f"nobody-{number}", PASSWORD, "10.0.2.2") is None
        with pytest.raises(TooOften):
            await signing_in("bob", PASSWORD, "10.0.2.2")
        with pytest.raises(TooOften):
            signing_in.check("10.0.2.2")
        signing_in.check("10.0.3.3")


async def test_a_hundred_guesses_at_once_are_no_more_than_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []
    monkeypatch.setattr(users, "matches", lambda password, _: tried.append(password))
    async with RegistryThread(tmp_path) as registry:
        await registry(trail.prepare)
        await registry(lambda opened: add(opened, "ada"))
        signing_in = SigningIn(registry)
        with structlog.testing.capture_logs() as logs:
            every = await asyncio.gather(
                *(signing_in("ada", f"guess {n}", f"10.0.{n}.1") for n in range(100)),
                return_exceptions=True,
            )
        refused = [one for one in every if isinstance(one, TooOften)]
        assert FAILURES <= len(tried) <= FAILURES + AT_ONCE
        assert len(tried) + len(refused) == 100
        assert [one["user"] for one in logs] == ["ada"] * len(tried)
        with structlog.testing.capture_logs() as logs:
            assert await signing_in("my secret password", "", "10.9.9.9") is None
        assert [(one["event"], one["user"]) for one in logs] == [("sign_in_refused", "")]
        assert "my secret" not in str(logs)
