"""The guide to configurations: every command that it shows is run, in its order, and says that."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from support.commands import COMMAND, Finished, forebay
from support.processes import Process, until

pytestmark = pytest.mark.e2e

GUIDE = Path(__file__).resolve().parents[2] / "docs/guides/configuration.md"
CODES = {"forebay config diff next.toml": 1, "forebay config apply wrong.toml": 2}
_OF_A_MOMENT = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "WHEN"),
    (r"\b[0-9a-f]{12}\b", "HASH"),
    (r"uid:\d+", "WHO"),
    (r"\d+(\.\d+)? (s|MiB|samples/s)\b|\d+ min \d+ s", "FIGURE"),
    (r"^(received|validated|staged|applying)\n", ""),
    (r"/\S*/forebay\.toml", "forebay.toml"),
    (r" +", " "),
)


def timeless(text: str) -> str:
    """Give what is the same each time."""
    for pattern, word in _OF_A_MOMENT:
        text = re.sub(pattern, word, text, flags=re.MULTILINE)
    return text.strip()


@pytest.mark.long
@pytest.mark.follows("docs/guides/configuration.md")
async def test_the_guide_shows_what_comes(tmp_path: Path) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    first, more = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "forebay.toml").write_text(first, encoding="utf-8")
    (tmp_path / "next.toml").write_text(f"{first}\n{more}", encoding="utf-8")
    wrong = first.replace('id = "press-hall-1"', "id = 7")
    (tmp_path / "wrong.toml").write_text(wrong, encoding="utf-8")
    environ = {"FOREBAY_STATE": f"{tmp_path}/state", "FOREBAY_SOCKET": f"{tmp_path}/c.sock"}
    agent = Process(
        "agent", [str(COMMAND), "run", "--config", str(tmp_path / "forebay.toml")], tmp_path
    )
    agent.environment = environ

    async def type_(line: str) -> Finished:
        words = [
            str(tmp_path / word) if word.endswith(".toml") else word for word in shlex.split(line)
        ]
        return await forebay(*words[1:], **environ)

    async with agent:
        await agent.start()
        await until((tmp_path / "c.sock").exists, "it answers")
        while '"value": null' in (await type_("forebay read press/parts --json")).out:
            assert agent.running, agent.text()
        shown = re.findall(r"^\$ (.*)\n((?:(?!\$ |```).*\n)*)", guide, re.MULTILINE)
        assert len(shown) == 7
        for line, out in shown:
            done = await type_(line)
            assert done.code == CODES.get(line, 0), done
            assert timeless(done.out) == timeless(out), line
