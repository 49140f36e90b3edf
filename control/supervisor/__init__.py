"""Supervision of agent processes and of the local model server."""
