"""Long tests are collected only with CHAOS=long."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("CHAOS") == "long" else ["test_outages.py"]
