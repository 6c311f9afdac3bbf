"""What happens to a managed box: its identity, what it is told, its configurations and versions.

Owns these declarations; see `forebay.events` for the sink. Must not know who emits.
"""

from __future__ import annotations

from forebay.events import Event

IDENTITY_RENEWED = Event(
    "identity_renewed", "info", "Certificates of this gateway renewed.", "identity_renewals"
)
IDENTITY_RECOVERED = Event(
    "identity_recovered",
    "warning",
    "Certificates had again by the bound key, after the one before had expired.",
    "identity_recoveries",
)
IDENTITY_FAILED = Event(
    "identity_failed",
    "warning",
    "Times that the fleet server gave no answer when a certificate was due.",
    "identity_failures",
)
IDENTITY_REFUSED = Event(
    "identity_refused",
    "error",
    "Times that the fleet server refused this gateway a certificate.",
    "identity_refusals",
    ("code",),
)
FLEET_CONNECTED = Event(
    "fleet_connected", "info", "Streams to the fleet server that it answered.", "fleet_connections"
)
FLEET_LOST = Event(
    "fleet_lost", "warning", "Times that the stream to the fleet server ended.", "fleet_losses"
)
FLEET_MOVED = Event(
    "fleet_moved",
    "info",
    "Other ways to the fleet server that were proved, and kept.",
    "fleet_moves",
)
FLEET_MOVE_FAILED = Event(
    "fleet_move_failed",
    "warning",
    "Other ways to the fleet server that were not taken, or given up.",
    "fleet_moves_failed",
)
FLEET_STATE_REFUSED = Event(
    "fleet_state_refused",
    "error",
    "Desired states that were refused: not signed, for another, replayed or expired.",
    "fleet_states_refused",
    ("code",),
)
UPDATE_STAGED = Event(
    "update_staged",
    "info",
    "Versions of the agent that were put into the other slot, to begin on trial.",
    "updates_staged",
)
UPDATE_ENDED = Event(
    "update_ended",
    "warning",
    "Versions of the agent whose trial has ended: `kept` or not.",
    "updates_ended",
    ("kept",),
)
FLEET_COMMAND_ENDED = Event(
    "fleet_command_ended",
    "info",
    "Commands of the fleet server that ended.",
    "fleet_commands",
    ("outcome",),
)
FLEET_COMMAND_DROPPED = Event(
    "fleet_command_dropped",
    "error",
    "Commands that were not taken: not signed, for another, with a used id, or too many.",
    "fleet_commands_dropped",
    ("code",),
)
DATA_CARRIED = Event("data_carried", "info", "Data that went by hand.", "data_carried", ("step",))
IDENTITY_LOST = Event(
    "identity_lost",
    "error",
    "Times that this gateway's identity could not be read or written.",
    "identity_losses",
)
CONFIG_PHASE = Event(
    "config_phase",
    "info",
    "Steps of configurations that were offered.",
    "config_phases",
    ("phase",),
)
CONFIG_ROLLED_BACK = Event(
    "config_rolled_back",
    "warning",
    "Configurations that did not prove themselves, so that the one before runs again.",
    "config_rollbacks",
)
LOG_LEVEL = Event(
    "log_level",
    "warning",
    "Times that somebody asked for another level of the log, and that its time was over.",
    "log_levels",
)
