"""Agents in their calls, as programs see and steer them: commands, and streams of events."""
