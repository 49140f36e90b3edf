"""What child processes may know of the environment: nothing that could be a secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

# Named, not filtered by what looks secret: an unknown variable may hold anything.
_KEPT: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"),
        *("LANG", "LANGUAGE", "TZ", "TERM", "NO_COLOR", "FORCE_COLOR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR"),
        # What the local model reads; what an agent needs goes over its link.
        *("LOG_LEVEL", "LOG_FORMAT", "VERBOSE"),
    }
)
FORKSERVER_PID: Final = "PARLEY_FORKSERVER_PID"
"""By which the forkserver tells its forks who their parent is."""

MAIN_MODULE: Final = "PARLEY_MAIN_MODULE"
"""By which the server tells the forkserver what not to import: name and path, a line each."""

MERGE_PAGES: Final = "PARLEY_MERGE_PAGES"
"""By which the server tells the forkserver that equal pages may be merged: 1 or nothing."""

_KEPT_PREFIXES: Final = (
    "PARLEY_",
    "LC_",
    "PYTHON",
    "COVERAGE_",
    "OMP_",
    "OPENBLAS_",
    "MKL_",
    "SPEECH_",
)


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that a child process needs."""
    return {
        name: value
        for name, value in environ.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }


def scrub_environment() -> None:
    """Forget everything else for good, in this process and in all that it starts from now on."""
    for name in set(os.environ) - set(child_environment(os.environ)):
        del os.environ[name]
