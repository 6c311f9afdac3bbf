"""Models from the command line: `python -m forebay_plugin.models COMMAND DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from forebay_plugin.models import store
from forebay_plugin.models.folder import MANIFEST_FILE
from forebay_plugin.models.runtime import load
from forebay_plugin.models.trust import SIGNATURE_FILE, Trust, public_key, sign
from forebay_plugin.plugin import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = {
    "show": "what a model takes and gives, and who vouches for it",
    "verify": "hashes, signature, graph and self-test; fails with 1 where a plugin would refuse it",
    "sign": "add a signature of --key FILE, an Ed25519 key in PEM",
    "add": "copy the model of --from DIR into a store, after checking it",
    "activate": "make --version of a store the active model",
    "candidate": "let --version of a store run in shadow; without one, none does",
    "rollback": "make a store's previous model active again",
}
RESTART = "next: restart the plugin, and it loads this"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m forebay_plugin.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("directory", type=Path)
        command.add_argument("--trust", action="append", default=[], help="public key, base64")
        command.add_argument("--pin", action="append", default=[], help="SHA-256 of a model.toml")
        command.add_argument("--allow-unsigned", action="store_true")
        if name == "sign":
            command.add_argument("--key", type=Path, required=True)
        if name == "add":
            command.add_argument("--from", dest="source", type=Path, required=True)
        if name in {"activate", "candidate"}:
            command.add_argument("--version", default="", required=name == "activate")
    given = parser.parse_args(arguments)
    try:
        words = {"trusted_keys": given.trust, "pinned_models": given.pin}
        trust = Trust.of({**words, "allow_unsigned": given.allow_unsigned})
        HANDLERS[given.command](given, trust)
    except (PluginError, OSError) as error:
        _tell(f"refused: {error}", sys.stderr)
        return 1
    return 0


def _show(given: argparse.Namespace, _: Trust) -> None:
    roles = store.locate(given.directory)
    beside = (("previous", roles.previous), ("candidate", roles.candidate))
    for role, path in (("active", roles.active), *beside):
        if path is None:
            continue
        model = load(path, Trust(allow_unsigned=True))
        _tell(f"{role}: {model.title}: {model.manifest.description}")
        _tell(f"  manifest {model.folder.sha256}")
        signed = (path / SIGNATURE_FILE).exists()
        _tell(f"  {'signed; verify says by whom' if signed else 'not signed'}")
        for what, ports in (("in", model.manifest.inputs), ("out", model.manifest.outputs)):
            for port in ports.values():
                names = f" {', '.join(port.names)}" if port.names else ""
                _tell(f"  {what:3} {port.name} {port.type} {list(port.shape)}{names}")
        for key, value in model.manifest.training.items():
            _tell(f"  {key} {value}")


def _verify(given: argparse.Namespace, trust: Trust) -> None:
    model = load(store.locate(given.directory).active, trust)
    _tell(f"{model.title}: hashes, graph and self-test are right; {model.folder.trust}")


def _sign(given: argparse.Namespace, _: Trust) -> None:
    load(given.directory, Trust(allow_unsigned=True))
    pem = given.key.read_bytes()
    line = sign((given.directory / MANIFEST_FILE).read_bytes(), pem)
    with (given.directory / SIGNATURE_FILE).open("ab") as file:
        file.write(line)
    _tell(f'signed; plugins take it with trusted_keys = ["{public_key(pem)}"]')


def _add(given: argparse.Namespace, trust: Trust) -> None:
    load(given.source, trust)
    _tell(f"added version {store.add(given.directory, given.source, trust)}")


def _activate(given: argparse.Namespace, _: Trust) -> None:
    store.activate(given.directory, given.version)
    _tell(f"version {given.version} is active\n{RESTART}")


def _candidate(given: argparse.Namespace, _: Trust) -> None:
    store.propose(given.directory, given.version)
    _tell(f"candidate: {given.version or 'none'}\n{RESTART}")


def _rollback(given: argparse.Namespace, _: Trust) -> None:
    _tell(f"version {store.rollback(given.directory)} is active\n{RESTART}")


def _tell(line: str, to: object = None) -> None:
    stream = sys.stdout if to is None else sys.stderr
    stream.write(f"{line}\n")


HANDLERS: dict[str, Callable[[argparse.Namespace, Trust], None]] = {
    "show": _show,
    "verify": _verify,
    "sign": _sign,
    "add": _add,
    "activate": _activate,
    "candidate": _candidate,
    "rollback": _rollback,
}

if __name__ == "__main__":
    sys.exit(main())
