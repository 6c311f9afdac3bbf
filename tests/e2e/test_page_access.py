"""The page's doors, in a real browser and without one: what nobody gets by with."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from support.browser import TABLET, Browser
from support.pages import PASSWORD, PagedFleet
from support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx2

    from support.browser import Visitor

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

COOKIE = "__Host-forebay_session"
ENDED = r"401|sign-in"


async def test_doors_without_a_browser(tmp_path: Path) -> None:
    with PagedFleet(tmp_path) as fleet:
        await fleet.person("ada", "admin")
        await fleet.person("vic")
        async with fleet.client() as client:
            await _strangers(client)
            await _forged(fleet, client)
            await _signed_in(fleet, client)
        await _tokens(fleet)


async def _strangers(client: httpx2.AsyncClient) -> None:
    """Nobody sees anything without signing in, and is told so in the way of who asks."""
    page = await client.get("/gateways?x=1")
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/gateways")
    for path in ("/api/v1/me", "/api/openapi.json", "/metrics"):
        answer = await client.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["hint"]
    form = await client.get("/sign-in")
    assert "script-src" not in form.headers["content-security-policy"]
    assert "default-src 'none'" in form.headers["content-security-policy"]
    for name in ("x-content-type-options", "x-frame-options", "referrer-policy"):
        assert form.headers[name]
    assert form.headers["cache-control"] == "no-store"
    assert "<script" not in form.text
    nasty = await client.get("/sign-in", params={"next": '//evil.example/"><script>'})
    assert "evil.example" not in nasty.text
    posted = {"name": '"><script>alert(1)</script>', "password": "x", "next": "//evil.example"}
    wrong = await client.post("/sign-in", data=posted)
    assert wrong.status_code == 401
    assert "<script" not in wrong.text
    assert COOKIE not in wrong.cookies
    huge = await client.post("/sign-in", content=b"name=" + b"a" * 100_000)
    assert huge.status_code == 401


async def _forged(fleet: PagedFleet, client: httpx2.AsyncClient) -> None:
    """A cookie that this server did not give opens nothing, nor does a page of another site."""
    for secret in ("x", "A" * 43, "A" * 5000, "' OR 1=1 --"):
        cookie = {"cookie": f"{COOKIE}={secret}"}
        assert (await client.get("/gateways", headers=cookie)).status_code == 303
        assert (await client.get("/api/v1/me", headers=cookie)).status_code == 401
    foreign = {"origin": "https://evil.example"}
    data = {"name": "ada", "password": PASSWORD}
    assert (await client.post("/sign-in", data=data, headers=foreign)).status_code == 403
    socket = f"wss://localhost:{fleet.port}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(socket, ssl=fleet.trust):
            pass
    assert refused.value.response.status_code == 403


async def _signed_in(fleet: PagedFleet, client: httpx2.AsyncClient) -> None:
    """The cookie is one that no script reads and no other site sends; it ends with the session."""
    entered = await client.post(
        "/sign-in", data={"name": "vic", "password": PASSWORD, "next": "/gateways"}
    )
    assert (entered.status_code, entered.headers["location"]) == (303, "/gateways")
    words = entered.headers["set-cookie"].lower()
    for word in ("httponly", "secure", "samesite=strict", "path=/", f"{COOKIE}=".lower()):
        assert word in words
    assert (await client.get("/api/v1/me")).json()["role"] == "viewer"
    assert (await client.get("/users")).status_code == 403
    assert (await client.get("/gateways/x/config")).status_code == 403
    assert (await client.get("/rollouts/new")).status_code == 403
    kept = client.cookies[COOKIE]
    assert (await client.post("/sign-out")).status_code == 303
    again = await client.get("/api/v1/me", headers={"cookie": f"{COOKIE}={kept}"})
    assert again.status_code == 401


async def _tokens(fleet: PagedFleet) -> None:
    made = await fleet.ask("api-token", "add", "mes", "--role", "viewer", "--for", "1h")
    async with fleet.client(authorization=f"Bearer {made['token']}") as program:
        assert (await program.get("/api/v1/me")).json() == {
            "name": "token:mes",
            "role": "viewer",
            "via": "token",
        }
        await fleet.ask("api-token", "revoke", made["id"], "--why", "test")
        assert (await program.get("/api/v1/me")).status_code == 401
    log = fleet.server.log.read_text()
    assert made["token"] not in log
    assert PASSWORD not in log


async def test_somebody_signs_in_looks_and_goes(tmp_path: Path, chromium_binary: Path) -> None:
    with PagedFleet(tmp_path) as fleet:
        await fleet.person("ada", "admin")
        await fleet.person("vic")
        async with Browser(chromium_binary) as browser:
            async with browser.visitor() as ada:
                await _comes_and_goes(fleet, ada)
            async with browser.visitor(size=TABLET, dark=True, language="zh-CN") as vic:
                await _shut_out(fleet, vic)


async def _comes_and_goes(fleet: PagedFleet, ada: Visitor) -> None:
    page = ada.page
    ada.expects(r"sign-in: 401|status of 401")
    await page.goto(f"{fleet.page}/users")
    await page.wait_for_selector("form.fb-sign-in")
    await ada.sign_in(fleet.page, "ada", "not the password")
    await page.wait_for_selector("[role=alert]")
    await fleet.enter(ada, "ada")
    await page.goto(f"{fleet.page}/tokens")
    await page.get_by_label("What uses it").fill("mes")
    await page.locator("button", has_text="Make a token").click()
    token = await page.locator(".fb-secret").inner_text()
    async with fleet.client(authorization=f"Bearer {token}") as program:
        assert (await program.get("/api/v1/me")).json()["name"] == "token:mes"
    await page.goto(f"{fleet.page}/users")
    await page.get_by_label("Name", exact=True).fill("eva")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.locator("button", has_text="Add a user").click()
    await page.wait_for_selector("[data-user=eva]")
    await page.goto(f"{fleet.page}/audit")
    text = await page.locator(".fb-table").inner_text()
    assert re.search(r"ada\s+password\s+user.add\s+eva", text)
    assert "api-token.add" in text
    assert token not in text
    await page.get_by_role("button", name="ada").click()
    await page.get_by_text("Sign out").click()
    await page.wait_for_selector("form.fb-sign-in")
    await page.goto(f"{fleet.page}/audit")
    assert "/sign-in" in page.url


async def _shut_out(fleet: PagedFleet, vic: Visitor) -> None:
    """Who is shut out loses the page that is open, and every other."""
    await fleet.enter(vic, "vic")
    page = vic.page
    assert await page.evaluate("document.documentElement.lang") == "zh-CN"
    assert await page.evaluate("document.body.classList.contains('body--dark')")
    vic.expects("403")
    await page.goto(f"{fleet.page}/users")
    assert "您的角色无权访问" in await page.locator("main").inner_text()
    await page.goto(f"{fleet.page}/account")
    await page.locator("button[aria-label='语言']").click()
    await page.get_by_text("English").click()
    await page.wait_for_selector("text=Open sessions")
    await fleet.ask("user", "disable", "vic", "--why", "test")
    await page.wait_for_selector("form.fb-sign-in")


async def test_people_of_a_company_come_by_openid(
    tmp_path: Path, chromium_binary: Path, node_binary: Path, oidc_provider_dir: Path
) -> None:
    port = free_port()
    file = tmp_path / "oidc.toml"
    fleet = PagedFleet(tmp_path, "--oidc", str(file))
    (tmp_path / "oidc.secret").write_text("of the client", "utf-8")
    table = {
        "issuer": f"http://127.0.0.1:{port}",
        "client_id": "forebay",
        "client_secret_file": "oidc.secret",
        "page": fleet.page,
        "label": "Plant",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in table.items()]
    file.write_text("\n".join([*lines, '[roles]\nplant-admins = "admin"\n']), "utf-8")
    back = f"{fleet.page}/sign-in/oidc/back"
    script = oidc_provider_dir / "oidc_provider.mjs"
    with fleet:
        async with (
            _running(node_binary, script, str(port), back, "of the client"),
            Browser(chromium_binary) as browser,
        ):
            own = rf"127\.0\.0\.1:{port}|fonts\.googleapis"  # what is wrong with its pages
            async with browser.visitor() as eva:
                eva.expects(own)
                await _by_provider(fleet, eva, "eva+plant-admins")
                await eva.page.wait_for_selector(".fb-page")
                await eva.page.goto(f"{fleet.page}/users")
                assert await eva.page.locator("[data-user=eva]").count() == 1
            async with browser.visitor() as bob:
                bob.expects(f"{own}|403")
                await _by_provider(fleet, bob, "bob")
                said = await bob.page.locator("[role=alert]").inner_text()
                assert "bob has no role here" in said


async def _by_provider(fleet: PagedFleet, visitor: Visitor, login: str) -> None:
    """Sign in at the provider, and let it tell this server who it is."""
    page = visitor.page
    await page.goto(f"{fleet.page}/sign-in")
    await page.click("a.fb-button")
    await page.fill("input[name=login]", login)
    await page.fill("input[name=password]", "any")
    await page.click("button[type=submit]")
    await page.locator("input[name=prompt][value=consent]").wait_for(state="attached")
    await page.click("button[type=submit]")
    await page.wait_for_url(f"{fleet.page}/**")


@asynccontextmanager
async def _running(*words: object) -> AsyncIterator[None]:
    """Run a server until the block ends; it says `ready` when it serves."""
    process = await asyncio.create_subprocess_exec(
        *map(str, words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
        yield
    finally:
        process.kill()
        await process.wait()
