"""An example of every command, for its `--help`. A test reads each as the command would."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

EXAMPLES = {
    "init": "--from press.csv --host 192.0.2.20 --cloud fleet.example.org",
    "run": "--config forebay.toml",
    "check": "/etc/forebay/forebay.toml",
    "status": "--watch",
    "devices": "",
    "tags": "'press/*' --bad",
    "read": "press/pressure press/strokes",
    "browse": "oven 'Objects/*' --csv oven.csv",
    "write": "press/setpoint 21.5 --reason 'cooler at night'",
    "call": "oven ns=2;s=Reset --reason 'after the jam'",
    "scan": "press --area holding --from 0 --to 200 --csv found.csv",
    "plan": "press",
    "ledger": "--watch",
    "uplinks": "",
    "restart": "device press",
    "events": "--since 2h --device press",
    "trace": "press/pressure --at '10 min'",
    "top": "--every 2",
    "doctor": "--config /etc/forebay/forebay.toml",
    "bundle": "box.tar.gz",
    "demo": "--seconds 25",
    "journal status": "",
    "journal ls": "--stream telemetry",
    "journal show": "--stream audit --limit 20",
    "journal verify": "--directory /mnt/disk/journal",
    "journal export": "--device press --from 2026-11-01 --format csv --output press.csv",
    "journal forecast": "--size '20 GiB'",
    "journal quarantine ls": "--uplink cloud",
    "journal quarantine show": "17",
    "journal quarantine retry": "--all",
    "journal quarantine export": "17 18 --output aside.jsonl",
    "journal quarantine drop": "17",
    "plugins ls": "",
    "plugins show": "anomaly",
    "plugins logs": "anomaly --follow",
    "plugins restart": "anomaly",
    "plugins install": "overload.tar.gz",
    "plugins remove": "overload@0.1.0",
    "plugins replay": "anomaly --from 2026-11-01",
    "plugins model add": "anomaly model/",
    "plugins model activate": "anomaly 7",
    "plugins model candidate": "anomaly 8",
    "plugins model rollback": "anomaly",
    "plugins model show": "anomaly",
    "config show": "--desired",
    "config diff": "new/forebay.toml",
    "config apply": "new/forebay.toml --reason 'slower oven'",
    "config history": "",
    "config rollback": "--reason 'the oven is too slow'",
    "fleet enroll": "--server fleet.example.org --token fbt1_...",
    "fleet status": "",
    "usb apply": "/media/stick/first-box.bundle",
    "usb collect": "/media/stick --uplink cloud",
    "usb acknowledge": "/media/stick/first-box.ack",
    "update status": "",
    "update apply": "forebay-0.2.0.tar.gz",
    "update rollback": "",
    "log": "--follow",
    "log level": "debug --for 10min",
}
"""By the command's words: what follows them."""


def add_to(app: typer.Typer, before: str = "") -> None:
    """Have every command of `app` end its help with its example."""
    for command in app.registered_commands:
        callback = command.callback
        name = command.name or (callback.__name__ if callback is not None else "")
        words = f"{before}{name}"
        if words in EXAMPLES:
            command.epilog = f"Example: forebay {words} {EXAMPLES[words]}".rstrip()
    for group in app.registered_groups:
        if group.name in EXAMPLES:
            group.epilog = f"Example: forebay {group.name} {EXAMPLES[group.name]}"
        if group.typer_instance is not None:
            add_to(group.typer_instance, f"{before}{group.name} ")
