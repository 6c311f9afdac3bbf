"""What the Debian package is made of agrees with the program and with the units.

`make deb` makes it and lintian looks at it; `make package-test` installs it under a real systemd.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
import zipfile
from typing import TYPE_CHECKING

import pytest

from forebay import __version__
from support.manifests import PACKAGING, ROOT

if TYPE_CHECKING:
    from pathlib import Path

DEBIAN = PACKAGING / "debian"
HOME = "/usr/lib/forebay"


def test_the_version_is_that_of_the_program() -> None:
    first = (DEBIAN / "changelog").read_text("utf-8").splitlines()[0]
    assert first.startswith(f"forebay ({__version__})")


def test_the_configuration_says_nothing_until_somebody_does() -> None:
    """Until then the condition of the unit does not hold; what it shows is a configuration."""
    text = (DEBIAN / "forebay.toml").read_text("utf-8")
    assert tomllib.loads(text) == {}
    shown = "\n".join(re.findall(r"^# ((?:\[|\w+ = ).*)$", text, re.MULTILINE))
    assert {"gateway", "devices", "uplinks"} == tomllib.loads(shown).keys()
    unit = (ROOT / "systemd/forebay.service").read_text("utf-8")
    found = re.search(r'^ExecCondition=/bin/grep -Eqrs "(.*)" (\S+) (\S+)$', unit, re.MULTILINE)
    assert found
    assert found[2] == "/etc/forebay/forebay.toml"
    pattern = re.compile(found[1].replace("[[]", r"\["), re.MULTILINE)
    assert not pattern.search(text)
    for said in (
        shown,
        'gateway.id = "x"\n',
        '\n  [ gateway ]\nid = "x"\n',
        'gateway = {id = "x"}',
    ):
        assert pattern.search(said), said
    for not_said in ("[devices.gateway]\n", 'id = "gateway"\n'):
        assert not pattern.search(not_said), not_said


@pytest.mark.parametrize("unit", sorted(path.name for path in (ROOT / "systemd").glob("*.service")))
def test_units_begin_what_the_package_has(unit: str) -> None:
    text = (ROOT / "systemd" / unit).read_text("utf-8")
    program = re.search(r"^ExecStart=(\S+)", text, re.MULTILINE)
    assert program
    assert program[1] == f"{HOME}/bin/python"
    assert f"debian/forebay{HOME}\n" in (DEBIAN / "rules").read_text("utf-8")


def wheel(folder: Path, name: str, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as made:
        for path, text in files.items():
            made.writestr(path, text)


def assemble(wheels: Path, home: Path) -> subprocess.CompletedProcess[str]:
    command = [str(PACKAGING / "assemble"), str(wheels), str(home)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_environment_is_made_of_wheels(tmp_path: Path) -> None:
    wheels, home = tmp_path / "wheels", tmp_path / "home"
    files = {"one/__init__.py": "", "one/tests/test_it.py": "", "one/c.pxd": "", "one.py": "x"}
    wheel(
        wheels, "one", **files, **{"one-1.data/purelib/two/a.py": "a", "one-1.data/scripts/s": ""}
    )
    done = assemble(wheels, home)
    assert done.returncode == 0, done.stderr
    libraries = home / "lib/python3.11/site-packages"
    found = {str(one.relative_to(libraries)) for one in libraries.rglob("*") if one.is_file()}
    assert found == {"one/__init__.py", "one.py", "two/a.py"}
    assert (home / "bin/forebay").read_text("utf-8").startswith(f"#!{HOME}/bin/python -I\n")


@pytest.mark.parametrize("path", ["../out.py", "/out.py", "a/../../out.py"])
def test_a_wheel_writes_nowhere_else(tmp_path: Path, path: str) -> None:
    wheel(tmp_path / "wheels", "bad", **{path: "x"})
    done = assemble(tmp_path / "wheels", tmp_path / "home")
    assert done.returncode != 0
    assert "leads out of it" in done.stderr


def test_two_wheels_with_one_file_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        wheel(tmp_path / "wheels", name, **{"same.py": name})
    assert "same.py is there already" in assemble(tmp_path / "wheels", tmp_path / "home").stderr
