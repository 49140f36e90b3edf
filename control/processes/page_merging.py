"""Asks Linux to keep memory pages that are equal in several processes only once (KSM).

Agents begin as forks of one image and then do much the same: most of the pages that each of them had
to copy end up with the same content. Needs Linux 6.4 and whoever owns the machine to let KSM run.
"""

from __future__ import annotations

import ctypes
from typing import Final

_PR_SET_MEMORY_MERGE: Final = 67


def merge_equal_pages() -> None:
    """From now on, of this process and its forks. The kernel copies a page again that is written to.

    Raises:
        OSError: this kernel cannot do it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_MEMORY_MERGE, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_MEMORY_MERGE) failed")
