"""The wishes of a first message that count: what the connection may set, and models that the server has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from control.api.bridge_access import START_FIELDS_OF_TOKENS, Rights

FindModel = Callable[[str | None, str | None], tuple[str, str] | None]
"""Provider and model of the settings that these two names mean, either of which may be absent."""


def granted(wishes: Mapping[str, Any], access: Rights, find_model: FindModel) -> dict[str, Any]:
    """Return the fields of a start that these wishes come to; what does not count is left out.

    A voice is one of a model: where the named model is not the server's, neither is the voice.
    """
    fields = {
        name: value
        for name, value in wishes.items()
        if access.is_owner or name in START_FIELDS_OF_TOKENS
    }
    if wishes.keys().isdisjoint({"provider", "model"}):
        return fields
    for name in ("provider", "model"):
        fields.pop(name, None)
    found = find_model(wishes.get("provider"), wishes.get("model"))
    if found is None:
        fields.pop("voice", None)
    elif access.is_owner:
        fields |= {"provider": found[0], "model": found[1]}
    return fields
