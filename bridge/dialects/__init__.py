"""The dialects, and which route and WebSocket subprotocol chooses which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bridge.dialect import Dialect
from bridge.dialects.agentflow import AgentFlowDialect
from bridge.dialects.agentscope import AgentScopeDialect
from bridge.dialects.parley import ParleyDialect

DIALECTS: Final[Mapping[str, Callable[[], Dialect]]] = {
    "parley": ParleyDialect,
    "agentscope": AgentScopeDialect,
    "agentflow": AgentFlowDialect,
}
"""Makers by name."""

ROUTES: Final[Mapping[str, str]] = {
    "/ws/{channel}": "parley",
    "/ws/{user_id}/{session_id}": "agentscope",
    "/v1/graph/live": "agentflow",
}
"""Names by route of `GET`; a route without `{channel}` leaves the channel to the first message or the
token."""

SUBPROTOCOLS: Final[Mapping[str, str]] = {"parley": "parley"}
"""Names by a subprotocol that the client offers; it takes precedence over the route."""
