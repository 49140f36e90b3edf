"""The realtime interface of the OpenAI Agents SDK: `RealtimeAgent`, `RealtimeRunner`, sessions.

```python
runner = RealtimeRunner(agent, config={"model_settings": {"model_name": "gpt-realtime"}})
async with await runner.run() as session:
    await session.send_message("Hello")
    async for event in session:
        ...
```

Beyond the original, a lost connection comes back with the conversation, and every provider of Parley works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from parley.compat.agents_sdk_definitions import (
    GuardrailFunctionOutput,
    OutputGuardrail,
    RealtimeAgent,
    RealtimeAgentHooks,
    function_tool,
    output_guardrail,
    realtime_handoff,
)
from parley.compat.agents_sdk_events import RunContextWrapper
from parley.compat.agents_sdk_session import RealtimeSession
from parley.live_options import LiveOptions
from realtime.model import RealtimeModel
from realtime.playback import RealtimePlaybackTracker

__all__ = [
    "GuardrailFunctionOutput",
    "OutputGuardrail",
    "RealtimeAgent",
    "RealtimeAgentHooks",
    "RealtimePlaybackTracker",
    "RealtimeRunner",
    "RealtimeSession",
    "RunContextWrapper",
    "function_tool",
    "output_guardrail",
    "realtime_handoff",
]


class RealtimeRunner:
    """Makes sessions of an agent.

    config: `model_settings`, `output_guardrails`, `guardrails_settings`
    """

    def __init__(
        self,
        starting_agent: RealtimeAgent[Any],
        *,
        model: Callable[[], RealtimeModel] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """model: makes the model's sessions in place of the provider, in tests"""
        self._agent = starting_agent
        self._model = model
        self._config = config or {}

    async def run(
        self,
        *,
        context: Any = None,
        model_config: Mapping[str, Any] | None = None,
        options: LiveOptions | None = None,
    ) -> RealtimeSession:
        """Return a session, to be entered.

        model_config: `api_key`, `url`, `initial_model_settings`, `playback_tracker`
        options: as of `Agent.arealtime`
        """
        return RealtimeSession(
            self._agent, self._config, model_config or {}, context, self._model, options or {}
        )
