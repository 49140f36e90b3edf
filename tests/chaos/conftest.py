"""What takes long is collected only when it is asked for."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("CHAOS") == "long" else ["test_outages.py"]
