"""Alert rules and dashboards, held against promtool and against what is really told."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
PROMETHEUS = PACKAGING / "prometheus"
Case = tuple[dict[str, tuple[float | str, float | str]], str]
"""Series with their value when all is well and when not, and when the alert must have come.

A value may be a start and a step: `0+1` is one more each minute.
"""


def alerts(of: str) -> Path:
    """Give the file of rules."""
    return PROMETHEUS / f"alerts-{of}.yml"


def queries(of: str) -> list[str]:
    """Give what the dashboard asks, as Prometheus would get it."""
    text = (PACKAGING / f"grafana/forebay-{of}.json").read_text("utf-8")
    asked = [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]
    return [one.replace("$__rate_interval", "2m").replace("$instance", ".*") for one in asked]


def named(of: str, pattern: str = r"\bforebay_\w+") -> set[str]:
    """Give the metrics that rules and dashboard name."""
    return set(re.findall(pattern, " ".join([alerts(of).read_text("utf-8"), *queries(of)])))


def promtool(binary: Path, *words: str | Path) -> None:
    """Run it; it must be content."""
    done = subprocess.run([binary, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check(binary: Path, of: str, folder: Path) -> None:
    """Have Prometheus' own parser read rules and dashboard."""
    promtool(binary, "check", "rules", alerts(of))
    rules = [{"record": f"dashboard:{n}", "expr": expr} for n, expr in enumerate(queries(of))]
    asked = folder / "dashboard.yml"  # JSON is YAML
    asked.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool(binary, "check", "rules", asked)


def fire(binary: Path, of: str, cases: dict[str, Case], folder: Path) -> None:
    """Hold every alert against series of a day, well and ill, by Prometheus' own evaluation."""
    assert set(cases) == set(re.findall(r"- alert: (\w+)", alerts(of).read_text("utf-8")))
    suites = [
        {
            "interval": "1m",
            "input_series": [
                {"series": series, "values": f"{both[ill]}x1600"} for series, both in given.items()
            ],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}})',
                    "eval_time": after,
                    "exp_samples": [{"labels": "{}", "value": 1}] if ill else [],
                }
            ],
        }
        for name, (given, after) in cases.items()
        for ill in (0, 1)
    ]
    suite = {"rule_files": [str(alerts(of))], "evaluation_interval": "1m", "tests": suites}
    path = folder / "alerts_test.yml"
    path.write_text(json.dumps(suite))
    promtool(binary, "test", "rules", path)
