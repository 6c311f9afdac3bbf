# noqa: INP001 - run by its path
"""`parts.py WHEELS OUT`: the list of parts of a directory of wheels, CycloneDX 1.6 as JSON.

Run by scripts/sbom. Exit 1 if the list does not keep the standard's schema. Times are those of
SOURCE_DATE_EPOCH, and the serial number is one of the wheels, so that the same wheels give the same
bytes.
"""

from __future__ import annotations

import datetime as dt
import email
import hashlib
import os
import sys
import uuid
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.bom_ref import BomRef
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from email.message import Message

MAIN = "forebay"
EXTRAS = ("", "opcua", "mqtt", "serial", "parquet", "top")
"""Those with which requirements/agent.txt was pinned."""
LICENCE = "License :: OSI Approved :: "


class Part(NamedTuple):
    """One wheel."""

    name: str
    about: Message
    sha256: str


def main(wheels: Path, out: Path) -> int:
    """Write the list; give the exit code."""
    parts = [read(path) for path in sorted(wheels.glob("*.whl"))]
    text = listed(parts)
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        sys.stderr.write(f"{fault}\n")
        return 1
    out.write_text(text, "utf-8")
    sys.stdout.write(f"parts    {len(parts)}, CycloneDX 1.6: {out.name}\n")
    return 0


def read(path: Path) -> Part:
    """Read what a wheel says of itself."""
    with zipfile.ZipFile(path) as wheel:
        (name,) = [one for one in wheel.namelist() if one.endswith(".dist-info/METADATA")]
        about = email.message_from_bytes(wheel.read(name))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Part(canonicalize_name(about["Name"]), about, digest)


def listed(parts: list[Part]) -> str:
    """Give the list as JSON."""
    epoch_s = int(os.environ["SOURCE_DATE_EPOCH"])
    components = {part.name: component(part) for part in parts}
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, "".join(part.sha256 for part in parts)),
        components=[one for name, one in components.items() if name != MAIN],
        dependencies=[
            Dependency(
                components[part.name].bom_ref,
                [Dependency(components[name].bom_ref) for name in needed(part, components)],
            )
            for part in parts
        ],
    )
    bom.metadata.component = components[MAIN]
    bom.metadata.timestamp = dt.datetime.fromtimestamp(epoch_s, dt.UTC)
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def component(part: Part) -> Component:
    """Give a part as the standard has it."""
    version = part.about["Version"]
    url = PackageURL("pypi", name=part.name, version=version)
    return Component(
        type=ComponentType.APPLICATION if part.name == MAIN else ComponentType.LIBRARY,
        name=part.name,
        version=version,
        bom_ref=BomRef(str(url)),
        purl=url,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=part.sha256)],
        licenses=licences(part.about),
    )


def licences(about: Message) -> list[LicenseExpression | DisjunctiveLicense]:
    """Give what its author says: an expression, else classifiers, else the first line of a text."""
    if about["License-Expression"]:
        return [LicenseExpression(about["License-Expression"])]
    classifiers = [one for one in about.get_all("Classifier", ()) if one.startswith(LICENCE)]
    if classifiers:
        return [DisjunctiveLicense(name=one.removeprefix(LICENCE)) for one in classifiers]
    text = (about["License"] or "").strip().split("\n")[0]
    return [DisjunctiveLicense(name=text)] if text else []


def needed(part: Part, components: dict[str, Component]) -> list[str]:
    """Give the names of the other parts that a part needs here."""
    found = set()
    for line in part.about.get_all("Requires-Dist", ()):
        one = Requirement(line)
        extras = EXTRAS if part.name == MAIN else ("",)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras):
            found.add(canonicalize_name(one.name))
    return sorted(found & components.keys())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
