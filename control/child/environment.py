"""Environment of child processes: an allow list, so that no secret of the server is inherited.

The address of the configured proxy may hold a password. Agents get it, as they get their provider's
key, because they connect to the provider themselves. The local model, which makes no outbound
connection, does not.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Collection, Mapping, MutableMapping
from typing import Final

from config.environment import ENV_FILE_VARIABLE
from proxies import VARIABLES
from telemetry_opt_out import OPT_OUTS

# An allow list, not a filter for names that look secret: an unknown variable may hold anything.
_KEPT: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "XDG_CACHE_HOME"),
        *("LANG", "LANGUAGE", "TZ", "TERM", "NO_COLOR", "FORCE_COLOR"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        # Telemetry opt-outs of the administrator; `OPT_OUTS` are added to them.
        *("OTEL_SDK_DISABLED", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"),
        # Read by the local model; agents get their settings over their link.
        *("LOG_LEVEL", "LOG_FORMAT", "VERBOSE"),
    }
)

_KEPT_PREFIXES: Final = (
    "PARLEY_TEST_",
    "LC_",
    "PYTHON",
    "COVERAGE_",
    "OMP_",
    "OPENBLAS_",
    "MKL_",
    "SPEECH_",
    "ORT_",
)
# Variables of outbound proxies, which may hold a password.
_PROXIES: Final = frozenset(VARIABLES)
# Where Google's libraries look for the credentials of an agent (GEMINI_CREDENTIALS=adc); paths and
# names, no secrets.
_GOOGLE: Final = (
    *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CONFIG"),
    *("GCE_METADATA_HOST", "GCE_METADATA_IP"),
)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of `environ` for a child process without outbound connections."""
    kept = {name: value for name, value in environ.items() if _is_kept(name)}
    if "HOME" not in kept and not _has_home():
        # Libraries ask for a home when they are imported. As container runtimes set it.
        kept["HOME"] = "/"
    return kept | OPT_OUTS | {ENV_FILE_VARIABLE: ""}


def _has_home() -> bool:
    """Return false for a user without a name, as of `docker run --user` or of a sandboxed service."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_PREFIXES)


def adopt_variables(
    values: Mapping[str, str], environ: MutableMapping[str, str] = os.environ
) -> None:
    """Set those `values` of the `.env` file in `environ` that child processes and libraries read.

    Settings are not among them, except those that the local model reads. Variables of `environ` take
    precedence; of a proxy variable either spelling does.
    """
    proxies = {name.lower() for name in environ if name in _PROXIES}
    for name, value in values.items():
        is_proxy = name in _PROXIES and name.lower() not in proxies
        if is_proxy or name in _GOOGLE or _is_kept(name):
            environ.setdefault(name, value)


def outbound_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the same plus the configured proxies, which are never used for loopback, and the place
    of Google's credentials.
    """
    google = {name: environ[name] for name in _GOOGLE if name in environ}
    proxies = {name: value for name, value in environ.items() if name in _PROXIES and value}
    if proxies:
        # Not every library that a tool may use exempts loopback from proxies by itself.
        excepted = proxies.get("no_proxy") or proxies.get("NO_PROXY") or ""
        names = [one for one in excepted.replace(",", " ").split() if one not in _LOOPBACK]
        proxies["no_proxy"] = proxies["NO_PROXY"] = ",".join([*names, *_LOOPBACK])
    return child_environment(environ) | google | proxies


def scrub_environment(more: Collection[str] = ()) -> None:
    """Remove everything else from this process's environment, and so from all it starts later.

    more: variables that stay
    """
    kept = outbound_environment(os.environ)
    kept |= {name: os.environ[name] for name in more if name in os.environ}
    for name in set(os.environ) - set(kept):
        del os.environ[name]
    os.environ.update(kept)
