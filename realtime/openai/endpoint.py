"""Address of a provider's sockets, and the way a key is presented there. Pure."""

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


def below(base_uri: str, path: str) -> yarl.URL:
    """Return the address of `path` below a base address, which may have a path of its own.

    Steps that end the one and begin the other count once: `wss://host/v1` and `v1/realtime` make
    `wss://host/v1/realtime`.

    Raises:
        ValueError: `base_uri` is not an address.
    """
    base = yarl.URL(base_uri)
    have = [step for step in base.path.split("/") if step]
    wanted = path.split("/")
    shared = max(n for n in range(len(wanted) + 1) if have[len(have) - n :] == wanted[:n])
    return base.with_path("/" + "/".join([*have, *wanted[shared:]]))


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
        return below(base_uri, self.path) % {self.model_parameter: model, **query}
