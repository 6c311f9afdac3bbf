"""The process that the gateway starts."""

from __future__ import annotations

from forebay_anomaly.plugin import Anomaly
from forebay_plugin import serve

if __name__ == "__main__":
    serve(Anomaly)
