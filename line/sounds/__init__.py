"""Sounds besides the agent's voice, and the loudness of that voice. Pure."""
