"""Switches off telemetry of dependencies.

Some read these variables on import, so they are set before anything is imported or started.
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
"""Opt-out variables and their values; they override those of the environment."""


def switch_off_telemetry() -> None:
    """Opt out in this process and in all processes that it starts from now on."""
    os.environ.update(OPT_OUTS)
