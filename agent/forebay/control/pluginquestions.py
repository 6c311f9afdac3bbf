"""What a running agent is asked about its plugins.

Owns these questions' deadlines: a plugin takes its time to start. Must not know how answers are
shown.
"""

from __future__ import annotations

from forebay._proto import control_pb2 as pb
from forebay.control.asking import Asking

START_DEADLINE_S = 3_660.0
"""Longest wait for a plugin to be started: as long as its own `start_timeout` may be, and more."""


class PluginQuestions(Asking):
    """What a command asks of plugins; see `Asking` for what it raises."""

    def plugins(self, name: str = "") -> pb.PluginsReply:
        """Ask for one plugin, for all if empty."""
        return self._ask("ListPlugins", pb.PluginsRequest(name=name), pb.PluginsReply.FromString)

    def plugin_log(self, name: str, after: int = 0, limit: int = 0) -> pb.PluginLogReply:
        """Ask for the lines that a plugin printed, the oldest first."""
        request = pb.PluginLogRequest(name=name, after=after, limit=limit)
        return self._ask("ReadPluginLog", request, pb.PluginLogReply.FromString)

    def restart_plugin(self, name: str) -> pb.PluginDone:
        """Have a plugin started anew."""
        request = pb.PluginChoice(name=name)
        return self._ask("RestartPlugin", request, pb.PluginDone.FromString, START_DEADLINE_S)

    def refresh_plugins(self, plugin: str) -> pb.PluginDone:
        """Have the current version of an installed plugin taken up."""
        request = pb.PluginChoice(name=plugin)
        return self._ask("RefreshPlugins", request, pb.PluginDone.FromString, START_DEADLINE_S)
