"""Playout: the agent's audio, paced and sent, and how much of it was heard."""
