"""Runs owners' agents in the process of their application. `Agent.arealtime` is the way in."""
