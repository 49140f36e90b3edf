"""Signed notices of agents' lives to a URL of the server's owner."""
