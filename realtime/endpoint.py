"""Where a provider's sockets are, and how a key is shown there. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import yarl


def bearer(key: str) -> dict[str, str]:
    """The key or token as most providers want it."""
    return {"Authorization": f"Bearer {key}"}


def api_key_or_token(key: str) -> dict[str, str]:
    """Azure's two ways: an Entra token (a JWT, so it has dots) as bearer, a key in its own header."""
    return bearer(key) if "." in key else {"api-key": key}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path below a base address.

    model_parameter: which query parameter names the model
    authorize: the headers that show a key
    """

    path: str = "v1/realtime"
    model_parameter: str = "model"
    authorize: Callable[[str], dict[str, str]] = bearer

    def url(self, base_uri: str, model: str, query: Mapping[str, str]) -> yarl.URL:
        """The whole address.

        Raises:
            ValueError: `base_uri` is no address.
        """
        return yarl.URL(base_uri) / self.path % {self.model_parameter: model, **query}
