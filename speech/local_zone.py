"""The time zone of this machine."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from zoneinfo import available_timezones


@cache
def local_zone_name() -> str:
    """The IANA name of the machine's zone (`TZ`, else `/etc/localtime`), UTC when unknown."""
    linked = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    known = available_timezones()
    names = (os.environ.get("TZ", "").lstrip(":"), linked)
    return next((name for name in names if name in known), "UTC")
