"""The engine that reads devices: plan, schedule, session."""
