"""Warnings about a provider's messages, each kind logged once a session and without content."""

from __future__ import annotations

import logging
from typing import Final

from realtime.events import ProviderError
from utils import shorten

MAX_NOTES: Final = 64
"""Of each kind; more of a session are not logged."""

_log = logging.getLogger("realtime")


class ParseWarnings:
    """One session's."""

    def __init__(self) -> None:
        self._unknown_types: set[str] = set()
        self._left_out: set[str] = set()

    def note_unknown(self, event_type: str) -> None:
        """A message of a type that this version does not know."""
        if _is_news(event_type, self._unknown_types):
            _log.info("the provider sent an event of unknown type %s", shorten(event_type))

    def note_left_out(self, path: str) -> None:
        """A field was not what it must be, and was left out."""
        if _is_news(path, self._left_out):
            _log.warning("the provider sent %s in an invalid form; ignored", shorten(path))


def unforeseen(error: Exception) -> ProviderError:
    """A message of a provider that something of ours failed over: it costs no more than itself."""
    _log.error("a message of the provider could not be read", exc_info=error)
    return ProviderError("malformed_event", f"not understood ({type(error).__name__})")


def _is_news(what: str, known: set[str]) -> bool:
    if what in known or len(known) >= MAX_NOTES:
        return False
    known.add(what)
    return True
