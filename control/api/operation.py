"""Types that describe one operation of the control API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from aiohttp.typedefs import Handler
from pydantic import BaseModel

from control.api.agents import AgentsApi
from control.api.bridge import BridgeApi
from control.api.calls import CallsApi
from control.api.console import Console
from control.api.definitions import DefinitionsApi
from control.api.events import EventsApi
from control.api.keys import KeysApi
from control.api.live import LiveApi
from control.api.local_model import LocalModelApi
from control.api.memory import MemoryApi
from control.api.options import OptionsApi
from control.api.providers import ProvidersApi
from control.api.status import StatusApi
from control.keys.access import Scope
from control.metrics.page import MetricsPage


class Guard(Enum):
    """Access to a route. OPEN: everyone; KEY: API key; ROOM: checked by the room's own token; BRIDGE:
    either of the two; METRICS: metrics token or API key. Without configured keys, all except OPEN are limited to
    programs and pages of this machine.
    """

    OPEN = "open"
    KEY = "key"
    ROOM = "room"
    BRIDGE = "bridge"
    METRICS = "metrics"


@dataclass(frozen=True)
class Parameter:
    """An optional query parameter or header (`where`): text without surrounding blanks."""

    name: str
    where: Literal["query", "header"]
    description: str
    pattern: str | None = None


@dataclass(frozen=True, kw_only=True)
class Handlers:
    """Objects whose methods answer the operations, apart from those that the room server answers."""

    agents: AgentsApi
    definitions: DefinitionsApi
    local_model: LocalModelApi
    live: LiveApi
    events: EventsApi
    calls: CallsApi
    bridge: BridgeApi
    memory: MemoryApi
    status: StatusApi
    options: OptionsApi
    providers: ProvidersApi
    keys: KeysApi
    console: Console
    metrics: MetricsPage
    openapi: Handler


@dataclass(frozen=True)
class Operation:
    """One route and its entry in the OpenAPI document.

    Args:
        name: the `operationId`.
        handler: selects the method that answers, checked by the type checker; None: the room
            server adds this route itself, it is only documented here.
        answers: success status -> model of the body, None for a body that is not JSON.
        scope: the scope that an API key needs, or several of which one is enough; None where no key
            is asked for.
        is_audited: recorded in the audit log, under `name`.
        is_for_all_teams: answered only to keys that are of no single team.
    """

    method: str
    path: str
    name: str
    handler: Callable[[Handlers], Handler] | None
    summary: str
    answers: dict[int, type[BaseModel] | None]
    request: type[BaseModel] | None = None
    query: type[BaseModel] | None = field(default=None, kw_only=True)
    # Without a default: a new operation always says it.
    scope: Scope | frozenset[Scope] | None = field(kw_only=True)
    is_audited: bool = field(default=False, kw_only=True)
    is_for_all_teams: bool = field(default=False, kw_only=True)
    errors: dict[int, str] = field(default_factory=dict)
    guard: Guard = Guard.KEY
    is_body_optional: bool = False
    # Content types of a body that is taken beside JSON.
    raw_types: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    # Content type of an answer that is not JSON.
    media_type: str | None = None

    @property
    def scopes(self) -> frozenset[Scope]:
        """The scopes of which a key needs one."""
        if self.scope is None:
            return frozenset()
        return self.scope if isinstance(self.scope, frozenset) else frozenset({self.scope})
