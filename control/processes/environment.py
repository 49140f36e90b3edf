"""What child processes may know of the environment: nothing that could be a secret of ours.

The address of the owner's proxy may hold a password. Agents get it, as they get their provider's key:
they connect to the provider themselves. The local model, which connects to nobody, does not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from opt_outs import OPT_OUTS
from proxies import VARIABLES

# Named, not filtered by what looks secret: an unknown variable may hold anything.
_KEPT: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"),
        *("LANG", "LANGUAGE", "TZ", "TERM", "NO_COLOR", "FORCE_COLOR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        # What the owner does not want told to others; ours are added to it.
        *("OTEL_SDK_DISABLED", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
        # What the local model reads; what an agent needs goes over its link.
        *("LOG_LEVEL", "LOG_FORMAT", "VERBOSE"),
    }
)

_KEPT_PREFIXES: Final = (
    "PARLEY_",
    "LC_",
    "PYTHON",
    "COVERAGE_",
    "OMP_",
    "OPENBLAS_",
    "MKL_",
    "SPEECH_",
    "ORT_",
)
_PROXIES: Final = frozenset(VARIABLES)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of `environ` that a child process needs which connects to nobody else."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return kept | OPT_OUTS


def outbound_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The same for one that does: with the owner's proxies, which are not for this machine."""
    proxies = {name: value for name, value in environ.items() if name in _PROXIES and value}
    if proxies:
        # Not every library of a tool set knows by itself that loopback is no way out.
        excepted = proxies.get("no_proxy") or proxies.get("NO_PROXY") or ""
        names = [one for one in excepted.replace(",", " ").split() if one not in _LOOPBACK]
        proxies["no_proxy"] = proxies["NO_PROXY"] = ",".join([*names, *_LOOPBACK])
    return child_environment(environ) | proxies


def scrub_environment() -> None:
    """Forget everything else for good, in this process and in all that it starts from now on."""
    kept = outbound_environment(os.environ)
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    os.environ.update(kept)
