"""Comparison of what was said with what a recogniser heard of it."""

from __future__ import annotations

import re


def shared_words(said: str, heard: str) -> set[str]:
    """Words and figures in both, however they are written: "4:20 p.m." and "4 20 PM" have three in common."""
    return _words(said) & _words(heard)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+|[0-9]+", text.lower().replace(".", "")))
