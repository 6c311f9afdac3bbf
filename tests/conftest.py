"""What every test may use: the servers of `scripts/setup-testbeds`, and the run's ground rules.

With CI=true a skip is a failure: nothing may be missing there but data sets of others. Hypothesis
keeps its examples in .cache and watches no clock, because a loaded machine is not a defect.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

if TYPE_CHECKING:
    from collections.abc import Generator

    from support.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent
TESTBEDS = ROOT / "tests/testbeds"
CACHE = ROOT / ".cache"
ABSENT_DATA = "data set is absent"  # as support.datasets says it: data that we may not ship

set_hypothesis_home_dir(CACHE / "hypothesis")
hypothesis.settings.register_profile(
    "default",
    max_examples=40,  # `make fuzz` runs as many as are asked for
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "fuzz",
    parent=hypothesis.settings.get_profile("default"),
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000")),
)
hypothesis.settings.load_profile("default")


def pytest_collection_finish() -> None:
    """Leave what was collected out of garbage collections, of which a run has thousands."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, turn a skipped test into a failed one."""
    report = yield
    if not hasattr(report, "wasxfail"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, turn a module that skips itself into a failed one."""
    report = yield
    _refuse_skip(report)
    return report


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        if ABSENT_DATA in str(reason):
            return
        report.outcome = "failed"
        report.longrepr = f"{reason}\nWith CI=true nothing may be skipped."


def _skip_without(need: str) -> NoReturn:
    """Skip the asking test with the line that `scripts/setup-testbeds` prints for `need`."""
    rows = (TESTBEDS / "needs.tsv").read_text(encoding="utf-8").splitlines()
    pytest.skip(dict(row.split("\t") for row in rows)[need])


@pytest.fixture(scope="session")
def libmodbus_server_binary() -> Path:
    """The Modbus TCP server of tests/testbeds/libmodbus_server.c, compiled on first use."""
    return _compiled_with_libmodbus("libmodbus_server")


@pytest.fixture(scope="session")
def libmodbus_rtu_server_binary() -> Path:
    """The Modbus RTU unit of tests/testbeds/libmodbus_rtu_server.c, compiled on first use."""
    return _compiled_with_libmodbus("libmodbus_rtu_server")


def _compiled_with_libmodbus(name: str) -> Path:
    source = TESTBEDS / f"{name}.c"
    binary = CACHE / "testbeds" / name
    flags = _output("pkg-config", "--cflags", "--libs", "libmodbus")
    if flags is None or shutil.which("gcc") is None:
        _skip_without("libmodbus")
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        binary.parent.mkdir(parents=True, exist_ok=True)
        fresh = binary.with_suffix(f".{os.getpid()}")
        command = ["gcc", "-O1", "-Wall", "-Werror", "-o", str(fresh), str(source), *flags.split()]
        subprocess.run(command, check=True, timeout=60)
        fresh.replace(binary)
    return binary


@pytest.fixture(scope="session")
def mosquitto_binary() -> Path:
    """Debian's MQTT broker; it lies in /usr/sbin, which is on root's PATH only."""
    found = shutil.which(
        "mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    )
    if found is None:
        _skip_without("mosquitto")
    return Path(found)


@pytest.fixture(scope="session")
def strace_binary() -> Path:
    """strace(1), which makes system calls of a real process fail, wait, or end it."""
    found = shutil.which("strace")
    if found is None or _output(found, "-D", "-f", "-e", "trace=none", "true") is None:
        _skip_without("strace")
    return Path(found)


@pytest.fixture(scope="session")
def namespaces() -> None:
    """What `unshare -rm` needs: a user namespace, in which a test may mount file systems."""
    if _output("unshare", "-rm", "true") is None:
        _skip_without("namespaces")


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """What confines plugins where it works."""
    if _output("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true") is None:
        _skip_without("bubblewrap")


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """A PostgreSQL that runs while there are tests of this process."""
    from support.postgres import Postgres, binaries

    folder = binaries()
    if folder is None:
        _skip_without("postgresql")
    with Postgres(folder) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A data directory of a fleet server, with each of its databases."""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        return server.site(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def systemd_analyze() -> None:
    """What judges units of systemd."""
    if _output("systemd-analyze", "--version") is None:
        _skip_without("systemd-analyze")


@pytest.fixture(scope="session")
def chromium_binary() -> Path:
    """The browser that looks at the fleet server's page."""
    found = shutil.which("chromium")
    if found is None:
        _skip_without("chromium")
    return Path(found)


@pytest.fixture(scope="session")
def promtool_binary() -> Path:
    """What judges rules of Prometheus."""
    found = shutil.which("promtool")
    if found is None:
        _skip_without("promtool")
    return Path(found)


@pytest.fixture(scope="session")
def tmux_binary() -> Path:
    """A terminal of any size, whose screen can be read."""
    found = shutil.which("tmux")
    if found is None:
        _skip_without("tmux")
    return Path(found)


@pytest.fixture(scope="session")
def node_binary() -> Path:
    """A Node.js that is new enough: the machine's, or that of `scripts/setup-testbeds`."""
    from support.nodejs import find_node

    if (found := find_node()) is not None:
        return found
    _skip_without("node-opcua")


@pytest.fixture(scope="session")
def node_opcua_dir(node_binary: Path) -> Path:
    """The folder with node_modules/node-opcua; run a server script there with `node_binary`."""
    if not (TESTBEDS / "node_modules/node-opcua/package.json").exists():
        _skip_without("node-opcua")
    return TESTBEDS


@pytest.fixture(scope="session")
def modbus_serial_dir() -> Path:
    """The folder with modbus_serial_server.js and what it needs; run it with `node_binary`."""
    if not (TESTBEDS / "node_modules/modbus-serial/package.json").exists():
        _skip_without("modbus-serial")
    return TESTBEDS


@pytest.fixture(scope="session")
def jsmodbus_dir() -> Path:
    """The folder with jsmodbus_server.js and what it needs; run it with `node_binary`."""
    if not (TESTBEDS / "node_modules/jsmodbus/package.json").exists():
        _skip_without("jsmodbus")
    return TESTBEDS


@pytest.fixture(scope="session")
def grpc_js_dir() -> Path:
    """The folder `node_modules` with @grpc/grpc-js, for plugins that `node_binary` runs."""
    if not (TESTBEDS / "node_modules/@grpc/grpc-js/package.json").exists():
        _skip_without("grpc-js")
    return TESTBEDS / "node_modules"


@pytest.fixture(scope="session")
def oidc_provider_dir(node_binary: Path) -> Path:
    """The folder with oidc_provider.mjs and what it needs; run it with `node_binary`."""
    if not (TESTBEDS / "node_modules/oidc-provider/package.json").exists():
        _skip_without("oidc-provider")
    return TESTBEDS


def _output(*command: str) -> str | None:
    """What `command` prints; None if it is not there or fails."""
    try:
        ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ran.stdout.strip()
