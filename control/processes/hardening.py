"""Keeps other processes of the same user, agents among them, out of the server's memory."""

from __future__ import annotations

import ctypes
import logging
import os
from typing import Final

_PR_SET_DUMPABLE: Final = 4

_log = logging.getLogger("control.hardening")


def forbid_peeking() -> None:
    """Nobody but root may trace this process or read its memory and first environment, which has
    all secrets; no core file is written. Programs that it starts are not affected.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        _log.warning("prctl(PR_SET_DUMPABLE): %s", os.strerror(ctypes.get_errno()))
