"""Addresses of Gemini Live, and the form of keys and model names there. Pure.

`RealtimeModelConfig.query` selects the address; names that are not listed here go into the
query string as it is.

- `version`: of the API (`v1`, `v1beta`, `v1alpha`)
- `project`, `location`: Vertex AI in this project; an address at `aiplatform.googleapis.com`
  without them is Vertex's express mode, and everything else the developer API
"""

from __future__ import annotations

import re
from typing import Final

import yarl

from realtime.model import RealtimeModelConfig
from realtime.provider_socket import Address

_VERTEX_HOST: Final = "aiplatform.googleapis.com"
_EPHEMERAL_PREFIX: Final = "auth_tokens/"
_API_KEY_PREFIXES: Final = ("AIza", "AQ.")
_OURS: Final = frozenset({"version", "project", "location"})
_WORD: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def is_vertex(config: RealtimeModelConfig) -> bool:
    """True if this is Vertex AI, not the developer API."""
    host = yarl.URL(config.base_uri).host or ""
    return (
        "project" in config.query
        or config.model.startswith("projects/")
        or host.endswith(_VERTEX_HOST)
    )


def address_of(config: RealtimeModelConfig, api_key: str | None) -> Address:
    """Return the address and headers to connect with this key.

    Raises:
        ValueError: the base URI, or a part of the path, is malformed.
    """
    for name in _OURS & config.query.keys():
        if _WORD.fullmatch(config.query[name]) is None:
            raise ValueError(f"{name}: not a name")
    if is_vertex(config):
        version = config.query.get("version", "v1beta1")
        path = f"ws/google.cloud.aiplatform.{version}.LlmBidiService/BidiGenerateContent"
        shown = _vertex_key(api_key)
    else:
        is_ephemeral = (api_key or "").startswith(_EPHEMERAL_PREFIX)
        version = config.query.get("version", "v1alpha" if is_ephemeral else "v1")
        method = "BidiGenerateContent" + ("Constrained" if is_ephemeral else "")
        path = f"ws/google.ai.generativelanguage.{version}.GenerativeService.{method}"
        shown = _developer_key(api_key)
    query = {name: value for name, value in config.query.items() if name not in _OURS}
    return Address(yarl.URL(config.base_uri) / path % query, {**config.headers, **shown})


def _vertex_key(api_key: str | None) -> dict[str, str]:
    """An OAuth token, or the API key of an express project."""
    if api_key is None:
        return {}
    if api_key.startswith(_API_KEY_PREFIXES):
        return {"x-goog-api-key": api_key}
    return {"Authorization": f"Bearer {api_key}"}


def _developer_key(api_key: str | None) -> dict[str, str]:
    if api_key is None:
        return {}
    if api_key.startswith(_EPHEMERAL_PREFIX):
        return {"Authorization": f"Token {api_key}"}
    return {"x-goog-api-key": api_key}


def model_path(config: RealtimeModelConfig) -> str:
    """The model's whole name, from its short one; a name with a slash is whole already."""
    if not is_vertex(config):
        return config.model if "/" in config.model else f"models/{config.model}"
    path = config.model
    if not path.startswith(("publishers/", "projects/")):
        path = f"publishers/google/models/{path}"
    project = config.query.get("project")
    if project is None or path.startswith("projects/"):
        return path
    return f"projects/{project}/locations/{config.query.get('location', 'global')}/{path}"
