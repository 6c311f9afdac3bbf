"""The commands about what boxes have in common, and in what they differ: label, group, variable.

Owns their arguments and what they print. They change the registry beside a running server. What a
command needs is imported when it runs, so that `--help` is instant.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forebay_fleet.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from forebay_fleet.registry import Registry
    from forebay_fleet.rollouts.labels import Scalar

Name = Annotated[str, typer.Argument(help="Id of the gateway.", show_default=False)]
Why = Annotated[str, typer.Option("--why", help="Why; it stands in the history.")]


def add(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    label = typer.Typer(help="What boxes have in common.", no_args_is_help=True)
    label.command("set")(label_set)
    label.command("remove")(label_remove)
    label.command("list")(label_list)
    label.command("import")(label_import)
    app.add_typer(label, name="label")
    group = typer.Typer(help="Names of selectors: whoever fits is in.", no_args_is_help=True)
    group.command("set")(group_set)
    group.command("remove")(group_remove)
    group.command("list")(group_list)
    app.add_typer(group, name="group")
    variable = typer.Typer(help="What a template takes from each box.", no_args_is_help=True)
    variable.command("set")(variable_set)
    variable.command("remove")(variable_remove)
    variable.command("list")(variable_list)
    variable.command("import")(variable_import)
    app.add_typer(variable, name="variable")


def opened(data: Path) -> AbstractContextManager[Registry]:
    """Open the registry with the tables of rollouts."""
    from contextlib import contextmanager

    from forebay_fleet.access import trail
    from forebay_fleet.desired import states
    from forebay_fleet.registry import Registry
    from forebay_fleet.rollouts import labels

    @contextmanager
    def opening() -> Iterator[Registry]:
        with Registry(data) as registry:
            states.prepare(registry)
            trail.prepare(registry)
            labels.prepare(registry)
            yield registry

    return opening()


def label_set(
    gateway: Name,
    labels: Annotated[list[str], typer.Argument(help="NAME=VALUE, as in line=3.")],
    why: Why = "",
    data: common.Data = common.DATA,
) -> None:
    """Give a box labels."""
    from forebay_fleet.rollouts.labels import put

    changes: dict[str, str | None] = dict(_pair(text) for text in labels)
    with opened(data) as registry:
        put(registry, common.principal(), gateway, changes, why)


def label_remove(
    gateway: Name,
    names: Annotated[list[str], typer.Argument(help="Names of labels.")],
    why: Why = "",
    data: common.Data = common.DATA,
) -> None:
    """Take labels away from a box."""
    from forebay_fleet.rollouts.labels import put

    with opened(data) as registry:
        put(registry, common.principal(), gateway, dict.fromkeys(names), why)


def label_list(
    selector: Annotated[str, typer.Argument(help="line=3,site!=ulm,canary; @GROUP; * is all.")] = (
        "*"
    ),
    data: common.Data = common.DATA,
    *,
    as_json: common.Json = False,
) -> None:
    """List the boxes that a selector selects, with their labels."""
    from forebay_fleet.cli import output
    from forebay_fleet.rollouts.labels import every, select

    with opened(data) as registry:
        of = every(registry)
        found = {name: of.get(name, {}) for name in select(registry, selector)}
    if as_json:
        output.print_json(found)
        return
    rows = [
        (name, ", ".join(f"{key}={value}" for key, value in sorted(own.items())) or "-")
        for name, own in found.items()
    ]
    output.table(("gateway", "labels"), rows)


def group_set(
    name: Annotated[str, typer.Argument(help="Of the group, without @.")],
    selector: Annotated[str, typer.Argument(help="line=3,site!=ulm,canary; * is all.")],
    why: Why = "",
    data: common.Data = common.DATA,
) -> None:
    """Name a selector; a rollout goes to @NAME."""
    from forebay_fleet.rollouts.labels import put_group

    with opened(data) as registry:
        put_group(registry, common.principal(), name, selector, why)


def group_remove(
    name: Annotated[str, typer.Argument(help="Of the group, without @.")],
    why: Why = "",
    data: common.Data = common.DATA,
) -> None:
    """Take a name away; boxes and labels stay."""
    from forebay_fleet.rollouts.labels import put_group

    with opened(data) as registry:
        put_group(registry, common.principal(), name, None, why)


def group_list(data: common.Data = common.DATA, *, as_json: common.Json = False) -> None:
    """List the groups, and how many boxes each has now."""
    from forebay_fleet.cli import output
    from forebay_fleet.rollouts.labels import groups, select

    with opened(data) as registry:
        found = {
            name: {"selector": selector, "boxes": len(select(registry, selector))}
            for name, selector in groups(registry).items()
        }
    if as_json:
        output.print_json(found)
        return
    rows = [(name, one["selector"], one["boxes"]) for name, one in found.items()]
    output.table(("group", "selector", "boxes"), rows)


def variable_set(
    gateway: Name,
    variables: Annotated[list[str], typer.Argument(help='NAME=VALUE: port=502, plc="10", on=true')],
    why: Why = "",
    data: common.Data = common.DATA,
) -> None:
    """Set what templates take from a box. No secrets: those stay in files on the box."""
    from forebay_fleet.rollouts.labels import put_variables

    changes: dict[str, Scalar | None] = {}
    for text in variables:
        name, value = _pair(text)
        changes[name] = scalar(value)
    with opened(data) as registry:
        put_variables(registry, common.principal(), gateway, changes, why)


def variable_remove(
    gateway: Name,
    names: Annotated[list[str], typer.Argument(help="Names of variables.")],
    why: Why = "",
    data: common.Data = common.DATA,
) -> None:
    """Take variables away from a box."""
    from forebay_fleet.rollouts.labels import put_variables

    with opened(data) as registry:
        put_variables(registry, common.principal(), gateway, dict.fromkeys(names), why)


def variable_list(
    gateway: Name, data: common.Data = common.DATA, *, as_json: common.Json = False
) -> None:
    """List what templates take from a box."""
    from forebay_fleet.cli import output
    from forebay_fleet.rollouts.labels import variables
    from forebay_fleet.rollouts.templates import toml

    with opened(data) as registry:
        found = variables(registry).get(gateway, {})
    if as_json:
        output.print_json(found)
        return
    output.table(("variable", "value"), [(name, toml(one)) for name, one in sorted(found.items())])


Sheet = Annotated[Path, typer.Argument(help="CSV with a column `gateway` and one for each name.")]


def label_import(
    file: Sheet, why: Why = "", data: common.Data = common.DATA, *, as_json: common.Json = False
) -> None:
    """Give many boxes labels from a spreadsheet; an empty cell leaves its label."""
    from forebay_fleet.rollouts.labels import put_all

    found: dict[str, dict[str, str | None]] = {}
    for gateway, cells in _rows(file):
        found.setdefault(gateway, {}).update(cells)
    with opened(data) as registry:
        put_all(registry, common.principal(), found, why)
    _set_for(len(found), as_json=as_json)


def variable_import(
    file: Sheet, why: Why = "", data: common.Data = common.DATA, *, as_json: common.Json = False
) -> None:
    """Set the variables of many boxes from a spreadsheet; an empty cell leaves its variable."""
    from forebay_fleet.rollouts.labels import put_all_variables

    found: dict[str, dict[str, Scalar | None]] = {}
    for gateway, cells in _rows(file):
        found.setdefault(gateway, {}).update({name: scalar(cell) for name, cell in cells.items()})
    with opened(data) as registry:
        put_all_variables(registry, common.principal(), found, why)
    _set_for(len(found), as_json=as_json)


def _set_for(gateways: int, *, as_json: bool) -> None:
    from forebay_fleet.cli import output

    if as_json:
        output.print_json({"gateways": gateways})
    else:
        typer.echo(f"set for {output.counted(gateways, 'gateway')}")


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    import csv

    from forebay_fleet.errors import UsageError

    try:
        with file.open(encoding="utf-8-sig", newline="") as opened_file:
            reader = csv.DictReader(opened_file)
            if "gateway" not in (reader.fieldnames or ()):
                raise UsageError(f"{file} has no column `gateway`", hint="write a line of names")
            for row in reader:
                if None in row or None in row.values():
                    hint = "as many cells as names"
                    raise UsageError(f"{file}:{reader.line_num}: a cell too many or few", hint=hint)
                cells = {name: cell for name, cell in row.items() if name and cell}
                yield cells.pop("gateway", ""), cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: {error}", hint="name a CSV file, UTF-8") from None


def scalar(text: str) -> Scalar:
    """Read a value: a whole number, a number, true or false, a "quoted text"; else it is a text."""
    import tomllib

    try:
        found = tomllib.loads(f"x = {text}")["x"] if "\n" not in text else text
    except tomllib.TOMLDecodeError:
        return text
    return found if isinstance(found, str | int | float | bool) else text


def _pair(text: str) -> tuple[str, str]:
    from forebay_fleet.errors import UsageError

    name, sign, value = text.partition("=")
    if not sign or not value:
        raise UsageError(f"{text!r} has no value", hint="write NAME=VALUE")
    return name, value
