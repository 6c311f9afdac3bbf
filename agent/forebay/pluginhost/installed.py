"""Where installed plugins lie: `STATE/plugins/installed/NAME/VERSION`, and which one is `current`.

Owns that part of the state directory. Must not know what stands in a plugin's files, nor who runs
them. Files are written beside their place and renamed, so that a kill leaves the old or the new.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CURRENT = "current"
KEPT_VERSIONS = 3
"""How many versions of one plugin stay on disk: the current one and those it can go back to."""
MARK = "package.sha256"
"""A file in a version that came by the fleet, which says what archive it came as: it is the
fleet's to replace and to let go of, and runs without being `current`."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}")


class Installed:
    """The installed plugins of one gateway. Its methods block on the disk and raise OSError."""

    def __init__(self, state: Path) -> None:
        """Look into the state directory `state`; nothing is made before something is installed."""
        self.home = state / "plugins" / "installed"

    def names(self) -> tuple[str, ...]:
        """Give the plugins that are installed, sorted."""
        if not self.home.is_dir():
            return ()
        return tuple(sorted(p.name for p in self.home.iterdir() if _NAME.fullmatch(p.name)))

    def current(self, plugin: str) -> Path | None:
        """Give the directory of the version of `plugin` in use; None if there is none."""
        link = self.home / plugin / CURRENT
        with suppress(OSError):
            version = str(link.readlink())
            if _VERSION.fullmatch(version) and (self.home / plugin / version).is_dir():
                return self.home / plugin / version
        return None

    def versions(self, plugin: str) -> tuple[str, ...]:
        """Give the versions of `plugin` on disk, the one that was installed last at the end."""
        folder = self.home / plugin
        if not folder.is_dir():
            return ()
        found = [
            path
            for path in folder.iterdir()
            if _VERSION.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        ]
        return tuple(path.name for path in sorted(found, key=lambda one: one.stat().st_mtime_ns))

    def room(self) -> Path:
        """Make an empty directory on the same file system, for what is to become a version."""
        self.home.mkdir(parents=True, exist_ok=True)
        path = self.home / f".{secrets.token_hex(8)}"
        path.mkdir()
        return path

    def place(self, prepared: Path, plugin: str, version: str) -> Path:
        """Move the directory `prepared` to its place as a version of `plugin`; it is not yet used.

        One of the same version makes way. FileExistsError if that one is in use, or the fleet's.
        """
        target = self.home / plugin / version
        if (target / MARK).exists():
            raise FileExistsError(f"{plugin} {version} came by the fleet")
        if self.current(plugin) == target:
            raise FileExistsError(f"{plugin} {version} is installed and in use")
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            shutil.rmtree(target)
        (prepared / MARK).unlink(missing_ok=True)  # whatever an archive says of itself
        prepared.rename(target)
        os.utime(target)
        return target

    def use(self, plugin: str, version: str) -> None:
        """Make `version` the current one, and forget the oldest beyond KEPT_VERSIONS."""
        folder = self.home / plugin
        fresh = folder / f".{secrets.token_hex(8)}"
        fresh.symlink_to(version)
        fresh.replace(folder / CURRENT)
        mine = (one for one in self.versions(plugin) if not (folder / one / MARK).exists())
        for old in [one for one in mine if one != version][: 1 - KEPT_VERSIONS]:
            shutil.rmtree(folder / old, ignore_errors=True)

    def forget(self, plugin: str, version: str) -> None:
        """Remove a version that is not the current one, if it is there."""
        if (self.home / plugin / version / MARK).exists():
            return
        if self.current(plugin) != self.home / plugin / version:
            shutil.rmtree(self.home / plugin / version, ignore_errors=True)

    def take_back(self, plugin: str) -> None:
        """Undo the first `use` of a plugin: what was installed for it goes, nothing is current."""
        (self.home / plugin / CURRENT).unlink(missing_ok=True)
        for version in self.versions(plugin):
            self.forget(plugin, version)
        with suppress(OSError):
            (self.home / plugin).rmdir()  # unless there is what came by the fleet

    def remove(self, plugin: str) -> None:
        """Remove every version of `plugin`. FileNotFoundError if it is not installed."""
        gone = self.home / f".{secrets.token_hex(8)}"
        (self.home / plugin).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
