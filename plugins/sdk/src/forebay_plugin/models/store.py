"""A directory of versions of a model, and which of them is active, previous and candidate.

    STORE/roles.toml            active = "3", previous = "2", candidate = "4"
    STORE/versions/3/model.toml ...

All three names stand in one file that is replaced in one step, so that no moment has two active
models, or none: with a symbolic link for each there would be one. Owns that file and the folders
of versions. Must not know what is in them.
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from forebay_plugin.models.errors import ModelAltered, ModelMalformed
from forebay_plugin.models.folder import MANIFEST_FILE, read
from forebay_plugin.models.manifest import NAME

if TYPE_CHECKING:
    from pathlib import Path

    from forebay_plugin.models.trust import Trust

ROLES_FILE = "roles.toml"
VERSIONS = "versions"
ROLES_BYTES_MAX = 4096
USE_STORE = "add a version first: python -m forebay_plugin.models add STORE DIR"


@dataclass(frozen=True)
class Roles:
    """Directories of the models of a store; a lone model's folder is its own active one."""

    active: Path
    previous: Path | None = None
    candidate: Path | None = None


@dataclass(frozen=True)
class _Names:
    active: str = ""
    previous: str = ""
    candidate: str = ""


def locate(directory: Path) -> Roles:
    """Tell which models `directory` means: a store, or the folder of one model.

    Raises:
        ModelMalformed: it is neither, or names versions that it has not.
    """
    if (directory / MANIFEST_FILE).exists():
        return Roles(directory)
    names = _names(directory)
    if not names.active:
        raise ModelMalformed(f"{directory} has no active model", USE_STORE)
    paths = {
        role: _version(directory, name) if name else None
        for role, name in (("previous", names.previous), ("candidate", names.candidate))
    }
    return Roles(_version(directory, names.active), paths["previous"], paths["candidate"])


def add(store: Path, folder: Path, trust: Trust) -> str:
    """Copy a model that is whole and trusted into the store; give its version.

    Raises:
        ModelError: it is not, or another model has this version.
    """
    checked = read(folder, trust)
    version = checked.manifest.version
    place = store / VERSIONS / version
    if place.exists():
        if read(place, trust).sha256 == checked.sha256:
            return version
        raise ModelMalformed(f"version {version} is there, with other content", "raise its version")
    fresh = place.with_name(f".{version}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for path in sorted(folder.iterdir()):
        if path.name in {MANIFEST_FILE, "model.sig", *checked.manifest.files}:
            with (fresh / path.name).open("wb") as file:
                file.write(path.read_bytes())
                os.fsync(file.fileno())
    if read(fresh, trust).sha256 != checked.sha256:
        raise ModelAltered(f"{folder} changed while it was copied")
    _sync(fresh)
    fresh.rename(place)
    _sync(place.parent)
    return version


def activate(store: Path, version: str) -> None:
    """Make a version the active one, and what was active the previous one.

    Raises:
        ModelMalformed: there is no such version.
    """
    _version(store, version)
    names = _names(store)
    if version == names.active:
        return
    candidate = "" if names.candidate == version else names.candidate
    _save(store, _Names(version, names.active, candidate))


def propose(store: Path, version: str) -> None:
    """Let a version run in shadow, beside the active one; an empty text ends that.

    Raises:
        ModelMalformed: there is no such version, or it is active.
    """
    names = _names(store)
    if version:
        _version(store, version)
        if version == names.active:
            raise ModelMalformed(f"version {version} is the active one", "name another version")
    _save(store, replace(names, candidate=version))


def rollback(store: Path) -> str:
    """Make the previous version active again, and the active one previous; give its name.

    Raises:
        ModelMalformed: there is no previous version.
    """
    names = _names(store)
    if not names.previous:
        raise ModelMalformed("there is no previous model", "activate a version by its name")
    _version(store, names.previous)
    _save(store, _Names(names.previous, names.active, names.candidate))
    return names.previous


def _version(store: Path, name: str) -> Path:
    place = store / VERSIONS / name
    if not NAME.fullmatch(name) or not (place / MANIFEST_FILE).exists():
        raise ModelMalformed(f"{store} has no version {name!r}", USE_STORE)
    return place


def _names(store: Path) -> _Names:
    try:
        with (store / ROLES_FILE).open("rb") as file:
            table = tomllib.loads(file.read(ROLES_BYTES_MAX).decode())
    except FileNotFoundError:
        return _Names()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelMalformed(f"{ROLES_FILE} cannot be read: {error}", USE_STORE) from error
    if not all(isinstance(value, str) for value in table.values()):
        raise ModelMalformed(f"{ROLES_FILE} holds what is no text", USE_STORE)
    return _Names(*(table.get(role, "") for role in ("active", "previous", "candidate")))


def _save(store: Path, names: _Names) -> None:
    lines = [
        f"{role} = {json.dumps(name)}\n"
        for role, name in (
            ("active", names.active),
            ("previous", names.previous),
            ("candidate", names.candidate),
        )
    ]
    fresh = store / f".{ROLES_FILE}.new"
    with fresh.open("w", encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(store / ROLES_FILE)
    _sync(store)


def _sync(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
