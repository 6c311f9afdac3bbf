"""The JSON Schema of the configuration file, for editors: core and every installed adapter in one.

Owns how a table that names its adapter becomes a choice of schemas. Must not know any adapter by
name. The schema accepts whatever `load` accepts; what only code can judge, such as an address, it
lets pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from forebay.config.fields import default, is_parsed_by, marks, written
from forebay.config.model import Config
from forebay.pluginhost.settings import PluginSettings
from forebay.settings import parse_duration, parse_rate, parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo
    from pydantic_core.core_schema import ModelSchema

    from forebay.config.installed import Installed

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PATTERNS = {
    parse_duration: r"^\s*\d+(\.\d+)?\s*(ms|s|min|h|d)\s*$",
    parse_rate: r"^\s*\d+(\.\d+)?\s*(bit|kbit|Mbit|Gbit)/s\s*$",
    parse_size: r"^\s*\d+(\.\d+)?\s*(B|KiB|MiB|GiB|TiB)\s*$",
}
_BOUNDS = {
    Ge: ("ge", "minimum"),
    Gt: ("gt", "exclusiveMinimum"),
    Le: ("le", "maximum"),
    Lt: ("lt", "exclusiveMaximum"),
}


class _Generator(GenerateJsonSchema):
    """Writes durations and sizes as what a person writes, a number or a number with its unit."""

    def model_schema(self, schema: ModelSchema) -> dict[str, Any]:
        """Give the schema of one settings class; pydantic calls it for each."""
        out = super().model_schema(schema)
        for name, field in schema["cls"].model_fields.items():
            for parser, pattern in PATTERNS.items():
                if is_parsed_by(field, parser):
                    out["properties"][name] = _with_unit(field, pattern)
        return out


def _with_unit(field: FieldInfo, pattern: str) -> dict[str, Any]:
    number: dict[str, Any] = {"type": "number"}
    for mark in marks(field):
        for kind, (attribute, keyword) in _BOUNDS.items():
            if isinstance(mark, kind):
                number[keyword] = getattr(mark, attribute)
    out: dict[str, Any] = {
        "anyOf": [{"type": "string", "pattern": pattern}, number],
        "description": field.description or "",
    }
    preset = default(field)
    return out if preset is None else {**out, "default": written(field, preset)}


def json_schema(installed: Installed) -> dict[str, Any]:
    """Give the schema of the main file and of each file in `conf.d`."""
    models: list[type[BaseModel]] = [Config, PluginSettings]
    for driver in installed.drivers:
        models += [driver.settings, driver.tag]
    models += [stage.settings for stage in installed.stages]
    models += [uplink.settings for uplink in installed.uplinks]
    refs, document = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)], schema_generator=_Generator
    )
    named: dict[str, Any] = document["$defs"]

    def ref(model: type[BaseModel]) -> dict[str, Any]:
        return refs[(model, "validation")]

    def definition(model: type[BaseModel]) -> dict[str, Any]:
        found: dict[str, Any] = named[ref(model)["$ref"].rpartition("/")[2]]
        return found

    stage = _choice("kind", {s.kind: ref(s.settings) for s in installed.stages})
    for driver in installed.drivers:
        properties = definition(driver.settings)["properties"]
        _set_items(properties["tags"]["anyOf"], ref(driver.tag))
        _set_items([properties["stages"]], stage)
    root = definition(Config)
    devices = {d.protocol: ref(d.settings) for d in installed.drivers}
    uplinks = {u.kind: ref(u.settings) for u in installed.uplinks}
    _set_named(root["properties"]["devices"], _choice("protocol", devices))
    _set_named(root["properties"]["uplinks"], _choice("kind", uplinks))
    _set_named(root["properties"]["plugins"], ref(PluginSettings))
    return {
        "$schema": DIALECT,
        "title": "Forebay configuration",
        "$ref": ref(Config)["$ref"],
        "$defs": named,
    }


def _set_items(variants: Sequence[dict[str, Any]], items: Mapping[str, Any]) -> None:
    for variant in variants:
        if variant.get("type") == "array":
            variant["items"] = items


def _set_named(tables: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Let each table whose name is allowed be as `schema` says, and no other name be there."""
    tables["patternProperties"] = dict.fromkeys(tables["patternProperties"], schema)
    tables["additionalProperties"] = False


def _choice(key: str, schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Give the schema of a table whose `key` names one of `schemas`."""
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"enum": list(schemas)}},
        "allOf": [
            {
                "if": {"properties": {key: {"const": name}}, "required": [key]},
                "then": schema,
            }
            for name, schema in schemas.items()
        ],
    }
