"""The tree keeps the house rules, and the rules catch what they are for."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from functools import cache
from pathlib import Path

import pytest

from support.tidy import (
    BLOB_BYTES_MAX,
    FILE_LINES_MAX,
    FUNCTION_LINES_MAX,
    PUBLIC_METHODS_MAX,
    check_blob,
    check_length,
    check_python,
    check_text,
)

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("agent/", "fleet/", "plugins/")
CODE = (*PRODUCT, "bench/", "scripts/", "tests/", ".ci/")

# Where a rule gives way: (file, rule, function) -> why. An entry that matches nothing fails.
BROAD, DEQUE = "catches everything", "deque without a limit"
ALLOWED = {
    ("fleet/forebay_fleet/carried/spool.py", BROAD, "Spool._take"): "no file ends the server",
    ("fleet/forebay_fleet/rollouts/engine.py", BROAD, "Engine._safely"): "one keeps no other",
    ("agent/forebay/acquisition/session.py", BROAD, "Session._close"): "contains its driver",
    ("agent/forebay/acquisition/session.py", BROAD, "Session._connection"): "contains its driver",
    ("agent/forebay/acquisition/poller.py", BROAD, "Poller._row"): "contains its driver",
    ("agent/forebay/acquisition/operations.py", BROAD, "Operations._sent"): "contains its driver",
    (
        "agent/forebay/acquisition/operations.py",
        BROAD,
        "Operations._read_back",
    ): "contains its driver: what was acknowledged stays so",
    ("agent/forebay/pipeline/way.py", DEQUE, "Way.__init__"): "as Pipeline.__init__",
    (
        "agent/forebay/pipeline/intake.py",
        DEQUE,
        "Pipeline.__init__",
    ): "one entry an open schema, one future a commit in the journal's bounded memory; "
    "a maxlen would drop samples in silence",
    ("agent/forebay/forwarding/feed.py", DEQUE, "Feed.__init__"): "bounded in bytes by _room",
    (
        "agent/forebay/forwarding/window.py",
        DEQUE,
        "Window.__init__",
    ): "what is in flight: bounded by credit and MAX_RECORDS",
    ("agent/forebay/forwarding/forwarder.py", BROAD, "Forwarder._close"): "contains its uplink",
    ("agent/forebay/management/link.py", BROAD, "Link.run"): "reading goes on without it",
    ("agent/forebay/management/connecting.py", BROAD, "Connecting.run"): "the old way stays",
    ("agent/forebay/management/renewal.py", BROAD, "Renewal._look"): "reading goes on without it",
    ("agent/forebay/pipeline/tail.py", DEQUE, "Tail.__init__"): "bounded in bytes by put",
    ("agent/forebay/pluginhost/following.py", DEQUE, "Following.__init__"): "by AHEAD_BYTES",
    (
        "agent/forebay/pluginhost/windows.py",
        DEQUE,
        "Windows.__init__",
    ): "names of the records that it holds: bounded in bytes by the feed",
    ("agent/forebay/management/trying.py", BROAD, "Trying._apply"): "contains what is on trial",
    ("agent/forebay/management/trying.py", BROAD, "Trying.switch"): "contains what is to be tried",
    ("agent/forebay/management/trying.py", BROAD, "Trying._undo"): "begins from scratch instead",
    ("agent/forebay/pluginhost/host.py", BROAD, "PluginHost._turn"): "contains its plugin",
    (
        "plugins/sdk/src/forebay_plugin/serving.py",
        BROAD,
        "_Session._set_up",
    ): "contains the author's code: told, and the process ends",
    ("plugins/sdk/src/forebay_plugin/serving.py", BROAD, "worked"): "as above: windows fail alone",
    ("plugins/sdk/src/forebay_plugin/serving.py", BROAD, "_answer"): "as above: this window fails",
    ("tests/sim/loop.py", BROAD, "SimLoop.run_in_executor"): "stands in for a thread",
    ("tests/support/seeds.py", BROAD, "_one"): "one failing seed must not stop the others",
    (
        "agent/forebay/forwarding/forwarder.py",
        BROAD,
        "Forwarder._one_session",
    ): "contains its uplink",
}


@cache
def tracked() -> dict[str, bytes]:
    """Every file that git tracks or would add: path -> content."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    return {str(path.relative_to(ROOT)): path.read_bytes() for path in paths if path.is_file()}


def texts() -> dict[str, str]:
    """The tracked files that are text and that a person wrote."""
    return {
        path: content.decode()
        for path, content in tracked().items()
        if "/_proto/" not in path and b"\0" not in content
    }


def code() -> dict[str, str]:
    """The texts that are code."""
    return {
        path: text
        for path, text in texts().items()
        if path.startswith(CODE) and not path.endswith((".json", ".csv", ".tsv", ".md"))
    }


def is_python(path: str, text: str) -> bool:
    return path.endswith(".py") or text.startswith("#!/usr/bin/env python3")


def test_no_large_blobs() -> None:
    found = [f for path, content in tracked().items() for f in check_blob(path, len(content))]
    assert not found, "\n".join(map(str, found))


def test_no_forbidden_text() -> None:
    found = [f for path, text in texts().items() for f in check_text(path, text)]
    assert not found, "\n".join(map(str, found))


def test_files_are_short() -> None:
    found = [f for path, text in code().items() for f in check_length(path, text)]
    assert not found, "\n".join(map(str, found))


def test_python_keeps_the_rules() -> None:
    found = [
        finding
        for path, text in code().items()
        if is_python(path, text)
        for finding in check_python(path, text, product=path.startswith(PRODUCT))
    ]
    broken = [str(f) for f in found if (f.path, f.rule, f.where) not in ALLOWED]
    assert not broken, "\n".join(broken)
    unused = ALLOWED.keys() - {(f.path, f.rule, f.where) for f in found}
    assert not unused, f"nothing needs these any more: {unused}"


def test_make_fuzz_reaches_every_property_test() -> None:
    """A test that sets its own number of examples would keep it whatever `make fuzz` asks."""
    word = "max_" + "examples"
    found = {path for path, text in code().items() if word in text}
    assert found == {"tests/conftest.py", "tests/support/fuzz.py"}


def test_links_lead_somewhere() -> None:
    """Relative links of every page, and every folder or file that they may lead to."""
    places = {str(place) for path in tracked() for place in (Path(path), *Path(path).parents)}
    found = [(path, link) for path, text in texts().items() for link in links_in(path, text)]
    broken = [
        f"{path}: {link}"
        for path, link in found
        if os.path.normpath(Path(path).parent / link) not in places
    ]
    assert not broken, "\n".join(broken)
    assert ("README.md", "docs/guides/first-cloud.md") in found


def links_in(path: str, text: str) -> list[str]:
    """The relative links of a Markdown page, without what follows `#`."""
    if not path.endswith(".md"):
        return []
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", prose)
    return [target for target in targets if "://" not in target and target[:7] != "mailto:"]


def test_links_are_found() -> None:
    page = "[a](x.md) ![b](../y.svg) [c](z.md#top) [d](https://e.org) [e](#f)\n```\n[g](h)\n```\n"
    assert links_in("docs/a.md", page) == ["x.md", "../y.svg", "z.md"]
    assert links_in("docs/a.py", page) == []


def test_the_tree_is_seen() -> None:
    """A listing that came back empty would make every test above pass."""
    assert {"tests/test_tidy.py", "scripts/proto", ".ci/run"} <= code().keys()


HEAD = '"""Module."""\nfrom __future__ import annotations\n'
LONG = "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX
EXPLAINED = 'def f():\n    """\n' + "    why\n" * 50 + '    """\n' + "    x = 1\n" * 60
MANY = "class C:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(PUBLIC_METHODS_MAX + 1))


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ("try: f()\nexcept Exception: pass", "catches everything"),
        ("try: f()\nexcept (ValueError, BaseException): pass", "catches everything"),
        ("try: f()\nexcept: pass", "catches everything"),
        ("def f():\n    global x\n    x = 1", "global state"),
        ("seen = {}", "mutable module state"),
        ("seen: set[int] = set()", "mutable module state"),
        ("print('x')", "prints"),
        ("tg.create_task(f())", "task without a name"),
        ("asyncio.ensure_future(f())", "task without an owner"),
        ("q = Queue()", "queue without a limit"),
        ("q = asyncio.Queue[int](maxsize=0)", "queue without a limit"),
        ("q = queue.SimpleQueue()", "queue without a limit"),
        ("q = Queue(-1)", "queue without a limit"),
        ("q = Queue(maxsize=-1)", "queue without a limit"),
        ("d = f(deque([1]))", "deque without a limit"),
        ("def f(timeout: float | None): ...", "`timeout` without its unit"),
        (LONG, f"function of {FUNCTION_LINES_MAX + 1} lines, over {FUNCTION_LINES_MAX}"),
        (MANY, f"class of {PUBLIC_METHODS_MAX + 1} public methods, over {PUBLIC_METHODS_MAX}"),
    ],
)
def test_planted_violations_are_found(body: str, rule: str) -> None:
    found = list(check_python("agent/x.py", HEAD + body + "\n", product=True))
    assert [finding.rule for finding in found] == [rule]


@pytest.mark.parametrize(
    "body",
    [
        "try: f()\nexcept (ValueError, OSError): pass",
        "try: f()\nexcept BaseException:\n    close()\n    raise",
        "LIMITS = {'a': 1}\n__all__ = ['LIMITS']",
        "tg.create_task(f(), name='poll')",
        "q = Queue(10)\nr = asyncio.Queue(maxsize=LIMIT)",
        "d = f(deque(maxlen=3))\ne = f(deque([], 3))",
        "def f(timeout_s: float, timeout: Timeout): ...",
        EXPLAINED,
    ],
)
def test_good_code_passes(body: str) -> None:
    assert not list(check_python("agent/x.py", HEAD + body + "\n", product=True))


def test_module_head() -> None:
    found = [finding.rule for finding in check_python("a.py", "x = 1\n", product=False)]
    assert found == [
        "module without docstring",
        "module without `from __future__ import annotations`",
    ]
    assert not list(check_python("a/__init__.py", '"""A package."""\n', product=False))


def test_a_finding_says_where() -> None:
    source = HEAD + textwrap.dedent(
        """
        class Session:
            def run(self):
                try: step()
                except Exception: pass
        """
    )
    (finding,) = check_python("agent/x.py", source, product=True)
    assert str(finding) == "agent/x.py:7: catches everything in Session.run"


def test_commands_may_print() -> None:
    assert not list(check_python("agent/forebay/cli/x.py", HEAD + "print(1)\n", product=True))


@pytest.mark.parametrize(
    "text",
    [
        "https://files." + "pythonhosted" + ".org/packages/x",
        '"resolved": "https://registry.' + "npmjs" + '.org/x"',
        "see /" + "work/main",
        "cd /" + "tmp/fb",
        "# TO" + "DO later",
    ],
)
def test_forbidden_text_is_found(text: str) -> None:
    assert len(list(check_text("x.md", f"fine\n{text}\n"))) == 1


@pytest.mark.parametrize("text", ["the press at work/shift", "mastodon", "plant/work", "a/tmp/fb"])
def test_plain_text_passes(text: str) -> None:
    assert not list(check_text("x.md", text))


def test_size_limits() -> None:
    assert list(check_blob("x.bin", BLOB_BYTES_MAX + 1))
    assert not list(check_blob("x.bin", BLOB_BYTES_MAX))
    assert list(check_length("x.py", "x\n" * (FILE_LINES_MAX + 1)))
    assert not list(check_length("x.py", "x\n" * FILE_LINES_MAX))
