"""`forebay top` on a real agent: a device restarted by keys, and the same screen in a browser."""

from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from forebay.cli.top.screen import Top
from support import shown
from support.browser import Browser
from support.processes import BIN, Process, World, free_port, simulated, until, until_listening

if TYPE_CHECKING:
    from pathlib import Path

FONT = "https://fonts.googleapis.com/css?family=Roboto%20Mono"
"""What textual-serve's template names; the policy of the page keeps the browser from asking."""
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def drawn(app: Top) -> str:
    """Give the whole screen as text."""
    lines = app.screen._compositor.render_strips()  # noqa: SLF001 - what a terminal would be sent
    return "\n".join(strip.text for strip in lines)


@pytest.mark.follows("docs/guides/top.md")
async def test_a_real_agent_on_the_screen_and_in_a_browser(
    tmp_path: Path, chromium_binary: Path, tmux_binary: Path
) -> None:
    async with World(tmp_path) as world:
        world.write_config(simulated("press", 3, "200 ms"))
        await world.agent.start()
        app = Top(world.socket, every_s=0.2)
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: re.search(r"press +connected +3 +0 +0.2 s", drawn(app)), "press")
            await pilot.press("r", "r")
            await until(lambda: "device_connected" in world.agent.text().split("restart")[-1], "r")
            await pilot.press("6")
            await until(lambda: "agent_started" in drawn(app), "the log")
        code, once = await world.ask("top")
        assert (code, once["devices"][0]["name"], once["status"]["state"]) == (
            0,
            "press",
            "running",
        )
        await in_a_terminal(world, tmux_binary)
        await in_a_browser(world, chromium_binary)


async def in_a_terminal(world: World, tmux: Path) -> None:
    """In a terminal of 80x24 as ssh gives one: what it draws, and that it leaves no trace."""
    server = (str(tmux), "-S", str(world.directory / "tmux"), "-f", "/dev/null")

    async def run(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *server, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await process.communicate()
        assert process.returncode == 0, out
        return out.decode()

    async def sees(*words: str) -> str:
        seen = ""
        for _ in range(300):
            seen = await run("capture-pane", "-p", "-t", "it")
            if all(re.search(word, seen) for word in words):
                return seen
            await asyncio.sleep(0.2)
        pytest.fail(f"no {words} in:\n{seen}")

    shell = "env PS1='ready> ' TERM=tmux-256color LANG=C.UTF-8 sh"
    await run("new-session", "-d", "-s", "it", "-x", "80", "-y", "24", shell)
    try:
        await sees("ready>")
        command = f"{BIN / 'forebay'} top --every 0.5 --socket {world.socket}"
        shown.note(("forebay", "top"))
        await run("send-keys", "-t", "it", command, "Enter")
        seen = await sees(r"press +connected +3", "q Quit")
        assert len(seen.splitlines()) == 24
        assert seen.splitlines()[0].split()[1:3] == ["running,", "up"]
        await run("send-keys", "-t", "it", "2")
        await sees(r"press/t0 .* Good")
        await run("send-keys", "-t", "it", "q")
        seen = await sees("ready>(.|\n)*ready>")
        assert "Traceback" not in seen
        assert "Devices" not in seen, "the screen that was before is back"
        assert (
            await run("display", "-p", "-t", "it", "#{alternate_on}#{mouse_any_flag}")
        ) == "00\n"
    finally:
        await run("kill-server")


async def in_a_browser(world: World, binary: Path) -> None:
    """It is drawn there, nothing is fetched from elsewhere, and other sites are refused."""
    port = free_port()
    words = ("top", "--web", "--listen", f"127.0.0.1:{port}", "--socket", str(world.socket))
    page = f"http://127.0.0.1:{port}"
    async with Process("web", [str(BIN / "forebay"), *words], world.directory) as web:
        await web.start()
        assert web._process is not None  # noqa: SLF001 - the helper waits for a process
        await until_listening(web._process, port)  # noqa: SLF001
        asked: list[str] = []
        async with Browser(binary) as browser, browser.visitor() as ada:
            ada.expects("fonts.googleapis.com")  # textual-serve's template: the policy refuses it
            ada.page.on("request", lambda request: asked.append(request.url))
            await ada.page.goto(page)
            await ada.page.wait_for_selector("body.-first-byte .xterm-screen")
            await ada.look(world.directory / "web.png")
            assert asked
            assert {one for one in asked if not one.startswith((page, "data:"))} <= {FONT}
        for headers, code in (
            ({"Host": f"evil.example:{port}"}, 421),
            ({"Host": f"localhost:{port}"}, 421),
        ):
            assert refused(page, headers) == code
        for origin in ({}, {"Origin": "http://evil.example"}):
            assert refused(f"{page}/ws", origin) == 403


def refused(address: str, headers: dict[str, str]) -> int:
    """Give the code of the answer that refuses."""
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(urllib.request.Request(address, headers=headers))  # noqa: S310 - of this test
    error.value.close()
    return error.value.code
