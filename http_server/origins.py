"""Origin check: pages of the server itself and of listed origins are allowed."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Final

from http_server.log_throttle import LogThrottle
from utils import is_own_origin

MAX_SHOWN: Final = 100
"""Characters of a header shown in a refusal."""

_log = logging.getLogger("httpd")


class OriginCheck:
    """Checks `Origin`. A refusal names the compared values: most often a proxy changed `Host`."""

    def __init__(self, listed: Collection[str] = ()) -> None:
        self.listed = frozenset(listed)
        self._sparse = LogThrottle(_log)

    def refusal(self, origin: str | None, host: str) -> str | None:
        """Return the reason to refuse a page of `origin` at `host`; None if allowed, or without origin."""
        if origin is None or origin in self.listed or is_own_origin(origin, host):
            return None
        text = (
            f"pages of other sites are refused: the page's origin is {_shown(origin)}, the request was "
            f"for {_shown(host)}; behind a proxy pass Host on (nginx: proxy_set_header Host "
            "$http_host), or list the page's origin in ALLOWED_ORIGINS"
        )
        self._sparse.warning("origin", text)
        return text


def _shown(text: str) -> str:
    """Return foreign text for a log line or an answer: printable, quoted, truncated."""
    return f'"{re.sub("[^!#-~]", "?", text[:MAX_SHOWN])}"'
