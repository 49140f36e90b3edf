"""A stage whose model is Gemini's."""

from __future__ import annotations

from typing import Any, cast

from pydantic import SecretStr

from config.providers import ProviderConfig
from tests.fakes.gemini_live import FakeGeminiServer, GeminiSession
from tests.loopback.stage import Stage


class GeminiStage(Stage):
    """The same stage before another model's server."""

    def __init__(self, **server: Any) -> None:
        super().__init__()
        # A stage needs of a server that it starts, ends and has sessions.
        self.provider = cast(Any, FakeGeminiServer(**server))

    def gemini(self) -> ProviderConfig:
        """Gemini, as this stage plays it."""
        return ProviderConfig(
            name="gemini",
            model="gemini-3.8-live",
            base_uri=self.provider.uri,
            api_key=SecretStr("k"),
        )

    async def start_gemini(self, **changes: Any) -> GeminiSession:
        """`start`, with Gemini as the model."""
        session = cast(Any, await self.start(provider=self.gemini(), **changes))
        assert isinstance(session, GeminiSession)
        return session
