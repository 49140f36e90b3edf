"""Whose pages may ask: the server's own, and those of listed origins."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from typing import Final

from httpd.sparse_log import SparseLog
from utils import is_own_origin

MAX_SHOWN: Final = 100
"""Characters of a header that are repeated."""

_log = logging.getLogger("httpd")


class OriginCheck:
    """Compares, and says what it compared when it refuses: most often a proxy changed `Host`."""

    def __init__(self, listed: Collection[str] = ()) -> None:
        self.listed = frozenset(listed)
        self._sparse = SparseLog(_log)

    def refusal(self, origin: str | None, host: str) -> str | None:
        """Why a page of `origin` may not ask `host`; None when it may, or no page asks."""
        if origin is None or origin in self.listed or is_own_origin(origin, host):
            return None
        text = (
            f"pages of other sites are refused: the page is of {_shown(origin)}, the request was "
            f"for {_shown(host)}; behind a proxy pass Host on (nginx: proxy_set_header Host "
            "$http_host), or name the page's origin in ALLOWED_ORIGINS"
        )
        self._sparse.warning("origin", text)
        return text


def _shown(text: str) -> str:
    """Foreign text for a log line or an answer: printable, in quotes, cut."""
    return f'"{re.sub("[^!#-~]", "?", text[:MAX_SHOWN])}"'
