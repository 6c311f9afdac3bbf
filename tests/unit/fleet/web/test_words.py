"""What people read: both languages say the same things, and pages say nothing else."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import forebay_fleet.web
from forebay_fleet._proto import fleet_pb2
from forebay_fleet.access.roles import Role
from forebay_fleet.rollouts.plans import BoxState, State
from forebay_fleet.web import preferences, roster
from forebay_fleet.web.pages.box_chart import SPANS_S
from forebay_fleet.web.pages.rollout import STEPS
from forebay_fleet.web.words import LANGUAGES, Words, catalogue, chosen

SOURCES = Path(forebay_fleet.web.__file__).parent
USED = re.compile(r"""["']([a-z_]+\.[a-z0-9_]+)["']""")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text.replace("${", "")) if name}


@pytest.mark.parametrize("language", [one for one in LANGUAGES if one != "en"])
def test_each_language_has_the_same_keys_and_places(language: str) -> None:
    english, other = catalogue("en"), catalogue(language)
    assert set(other) == set(english)
    for key, text in english.items():
        if "${" not in text:
            assert placeholders(other[key]) == placeholders(text), key
    same = {key for key, text in english.items() if other[key] == text}
    assert same <= {"via.oidc", "audit.via", "artifacts.sha256"}


def test_every_key_that_a_page_asks_for_is_there_and_no_other() -> None:
    tables = {key.split(".")[0] for key in catalogue("en")}
    asked = set()
    for path in [*SOURCES.rglob("*.py"), *SOURCES.rglob("*.html")]:
        found = set(USED.findall(path.read_text("utf-8")))
        asked |= {key for key in found if key.split(".")[0] in tables and ".html" not in key}
    made = {
        *(f"role.{role.word}" for role in Role),
        *(f"rollout_state.{one}" for one in State),
        *(f"box_state.{one}" for one in BoxState),
        *(f"theme.{one}" for one in preferences.THEMES),
        *(f"fleet.{kind}" for kind in roster.KINDS),
        *(f"chart.{span}" for span in SPANS_S),
        *(f"rollout.{step}" for step in STEPS),
        *(f"rollout.ask_{step}" for step in STEPS),
        *(f"phase.{roster.phase(number)}" for number in fleet_pb2.ConfigPhase.values() if number),
    }
    assert (asked | made) - set(catalogue("en")) == set()
    prefixed = re.compile(r"""f["']([a-z_]+)\.(?:\w*)\{|of\(\s*["']([a-z_]+)["']""")
    dynamic = {
        one or two
        for path in SOURCES.rglob("*.py")
        for one, two in prefixed.findall(path.read_text("utf-8"))
    }
    unused = set(catalogue("en")) - asked - made
    assert {key for key in unused if key.split(".")[0] not in dynamic} == set()


@pytest.mark.parametrize(
    ("wish", "accepted", "language"),
    [
        ("zh", "en", "zh"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "fr,de;q=0.5", "en"),
        ("", "zh;q=0.3,en;q=0.9", "en"),
        ("xx", "", "en"),
        ("", "zh;q=x," * 10_000, "en"),
    ],
)
def test_a_language_is_wished_for_or_what_the_browser_takes(
    wish: str, accepted: str, language: str
) -> None:
    assert chosen(wish, accepted) == language


def test_words_of_boxes_that_nobody_knows_are_shown_as_they_are() -> None:
    assert Words("zh").of("state", "online") == "在线"
    assert Words("zh").of("state", "frozen") == "frozen"
    with pytest.raises(KeyError):
        Words("en")("no.such")


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "/\\evil.example", "https://evil.example", "", "x", "/a\nb", "/" * 2000],
)
def test_nobody_is_sent_to_another_site(path: str) -> None:
    assert preferences.local(path) == "/"


def test_a_path_of_this_site_is_kept() -> None:
    assert preferences.local("/gateways?find=a b") == "/gateways?find=a b"
