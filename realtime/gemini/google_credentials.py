"""`GoogleCredentials`: a key function with Google's application default credentials, for Vertex AI.

The package `google-auth` is optional and imported with the first key: a service account's file, a
user's `gcloud auth application-default login`, workload identity, or the machine's own account.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from realtime.api_keys import no_key, run_in_thread

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class GoogleCredentials:
    """Access tokens, kept as long as they are valid and the provider takes them."""

    def __init__(self) -> None:
        self._credentials: Any = None
        self._is_reused = False

    async def __call__(self) -> str:
        """Return a token.

        Raises:
            ModelConnectError: the package is missing, or there are no credentials.
        """
        token: str = await run_in_thread(self._token)
        return token

    def forget(self) -> bool:
        """See `realtime.api_keys.KeptKey`."""
        was_reused, self._is_reused, self._credentials = self._is_reused, False, None
        return was_reused

    def _token(self) -> str:
        try:
            auth = importlib.import_module("google.auth")
            transport = importlib.import_module("google.auth.transport.requests")
            http = importlib.import_module("requests")
        except ImportError:
            text = "GEMINI_CREDENTIALS=adc: pip install -r requirements-vertex.txt"
            raise no_key(text) from None
        credentials = self._credentials
        self._is_reused = credentials is not None and credentials.valid
        try:
            with http.Session() as session:
                # What proves who we are would go along.
                session.max_redirects = 0
                # Instead of a password from a netrc file.
                session.auth = _as_it_is
                request = transport.Request(session)
                if credentials is None:
                    credentials, _ = auth.default(scopes=[SCOPE], request=request)
                if not credentials.valid:
                    credentials.refresh(request)
        except Exception as error:  # noqa: BLE001 - its own kinds, and those of every way to a token
            # Its texts may hold what a token server answered.
            raise no_key(f"Google gave no credentials ({type(error).__name__})") from None
        self._credentials = credentials
        return str(credentials.token)


def _as_it_is(request: Any) -> Any:
    return request
