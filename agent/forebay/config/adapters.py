"""A table that names its adapter: find it, and let its settings class judge the table.

Owns these two steps, which devices, stages and uplinks share. Must not know any adapter by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from forebay.config.faults import dotted, explain, shown
from forebay.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from forebay.config.faults import Where

_Spec = TypeVar("_Spec")
_Model = TypeVar("_Model", bound=BaseModel)


def chosen(
    table: Mapping[str, Any],
    key: str,
    where: Where,
    find: Callable[[str, str], _Spec],
    installed: tuple[str, ...],
    faults: list[Fault],
) -> _Spec | None:
    """Give the adapter that `table[key]` names; None, and a fault, if there is none.

    `find(name, place)` looks it up, or raises ConfigError at `place`. `where` is the table's place,
    `installed` what could have been named.
    """
    name = table.get(key)
    place = dotted((*where, key))
    if not isinstance(name, str):
        message = "is missing" if name is None else f"must be text, not {shown(name)}"
        faults.append(Fault(place, message, f"name one of: {', '.join(installed) or 'none'}"))
        return None
    try:
        return find(name, place)
    except ConfigError as error:
        faults.extend(error.faults)
        return None


def validated(
    model: type[_Model], table: object, where: Where, faults: list[Fault]
) -> _Model | None:
    """Give `table` as settings; None and its faults, at places below `where`, if it cannot be."""
    try:
        return model.model_validate(table)
    except ValidationError as error:
        faults.extend(explain(error, model, table, lambda inner: dotted((*where, *inner))))
        return None
