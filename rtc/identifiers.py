"""Identifiers of rooms and their members: channel names and uids."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import Field

CHANNEL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
"""Channel names: 1 to 64 of letters, digits, `_`, `-`, `.`, the first a letter or digit."""

MAX_UID: Final = 2**32 - 1

ChannelName = Annotated[str, Field(pattern=CHANNEL_PATTERN)]
Uid = Annotated[int, Field(ge=1, le=MAX_UID, strict=True)]


def is_channel_name(name: str) -> bool:
    """Return true if `name` is within the safe alphabet and length."""
    return re.fullmatch(CHANNEL_PATTERN, name) is not None
