"""Switches off what dependencies would tell others of their own accord.

Some read these variables when they are imported, so whoever starts or imports them asks first.
"""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import Final

OPT_OUTS: Final = MappingProxyType(
    {
        # ONNX Runtime writes a device id into the home folder on import and sends usage to Microsoft.
        "ORT_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
    }
)
"""Variables that say no, with the values that say it; the owner cannot say yes by accident."""


def switch_off_telemetry() -> None:
    """Say no in this process and in all that it starts from now on."""
    os.environ.update(OPT_OUTS)
