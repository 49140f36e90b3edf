"""Bound of the waits of tests."""

from __future__ import annotations

from typing import Final

DEADLINE_S: Final = 60.0
"""Longest wait for an event that a test needs; only a broken test gets there.

What a test needs within a second may take thirty on a machine that others use too. A test that
says how soon something must happen has a bound of its own.
"""
