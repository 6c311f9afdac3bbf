"""The command: which plugin, with which settings; a line a check.

Exit codes: 0 all passed, 1 some failed, 2 the manifest or the call is wrong.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forebay_plugin.conformance.checks import CHECKS, END_S, Subject
from forebay_plugin.hosting import HostError
from forebay_plugin.manifest import ManifestError, load

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run all checks, or those named, and give the exit code."""
    given = _parser().parse_args(arguments)
    try:
        settings = _settings(given.set)
        manifest = load(given.manifest).with_(settings, _inputs(given.inputs))
        manifest = replace(
            manifest,
            deadline_s=manifest.deadline_s * given.patience,
            start_timeout_s=manifest.start_timeout_s * given.patience,
        )
        subject = Subject.of(manifest, given.model, END_S * given.patience)
    except (ManifestError, tomllib.TOMLDecodeError) as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 2
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            told = check(subject)
        except (HostError, AssertionError) as wrong:
            failed += 1
            sys.stdout.write(f"FAILED  {name}: {wrong}\n")
        else:
            sys.stdout.write(f"ok      {name}{': ' + told if told else ''}\n")
        sys.stdout.flush()
    sys.stdout.write(
        f"{manifest.name} {manifest.version}: {len(CHECKS) - failed} of {len(CHECKS)}\n"
    )
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m forebay_plugin.conformance",
        description="Hold a plugin process, in any language, against plugin.proto.",
    )
    parser.add_argument("manifest", type=Path, help="plugin.toml, or the directory that holds it")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting over the manifest's, the value as in TOML",
    )
    parser.add_argument(
        "--inputs",
        action="append",
        default=[],
        metavar="ROLE=TAG,TAG",
        help="tags of a role, instead of the manifest's patterns",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="N",
        help="wait N times as long as the manifest says, on a machine that is busy",
    )
    parser.add_argument("--model", type=Path, help="directory of a model, if not the plugin's own")
    return parser


def _inputs(given: Sequence[str]) -> dict[str, list[str]]:
    pairs = (one.partition("=") for one in given)
    return {role: tags.split(",") for role, _, tags in pairs}


def _settings(lines: Sequence[str]) -> dict[str, Any]:
    return tomllib.loads("\n".join(lines))
