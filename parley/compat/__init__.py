"""Interfaces of other systems over agents that run in-process, one module each.

A program for one of them changes its imports and the names of its models; `docs/migrating.md` shows
each beside Parley's own interface.
"""
