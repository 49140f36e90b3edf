"""The version of this checkout: the command line, `GET /healthz` and the OpenAPI document show it."""

from __future__ import annotations

from typing import Final

# Semantic versioning of what callers depend on: HTTP routes and bodies, error codes, event types,
# names of settings and metrics. The newest release in CHANGELOG.md has the same number.
VERSION: Final = "1.0.0"
