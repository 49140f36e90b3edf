"""`Placement`: the seam between the control API and the machines that run agents.

`supervisor.Supervisor` is the implementation for this machine. Errors: `PlacementError` is the base
class of what a placement refuses; a start that fails raises `AgentStartError`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from bridge.adoption import Adoption
from config.agent import AgentConfig
from conversation.events.commands import CommandResult, LiveCommand
from conversation.lifecycle import AgentState, ExitReason
from conversation.vitals import Vitals

Preparation = Callable[[], Coroutine[Any, Any, None]]
"""Step before an agent's process starts; raises `AgentStartError`."""


class PlacementError(Exception):
    """Base class of refusals and failures of a placement."""


class AlreadyRunningError(PlacementError):
    """The channel has a live agent."""

    def __init__(self, channel_name: str) -> None:
        super().__init__(f"Agent already running for channel: {channel_name}")


class NotRunningError(PlacementError):
    """The channel has no live agent."""

    def __init__(self) -> None:
        super().__init__("No active agent found for the provided channel_name")


class DrainingError(PlacementError):
    """The placement is draining and refuses starts."""

    def __init__(self) -> None:
        super().__init__("the server is draining: it starts no agents")


class AtCapacityError(PlacementError):
    """There is no capacity for another agent now.

    reason: `agents`, `cpu`, `memory`, `processes` or `descriptors`.
    figures: measurements and their limits; names carry units.
    """

    def __init__(
        self, message: str, *, reason: str, figures: Mapping[str, float], retry_after_s: int
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.figures = figures
        self.retry_after_s = retry_after_s


class AgentSilentError(PlacementError):
    """The agent did not answer a command in time; it may still execute it."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"the agent did not answer within {deadline_s:g} s")


class AgentGoneError(PlacementError):
    """The agent's process ended before it answered a command, which may have taken effect."""

    def __init__(self) -> None:
        super().__init__("the agent's process ended before it answered")


class StopFailedError(PlacementError):
    """The process has not exited after SIGKILL (blocked in the kernel); it still holds its channel."""


class ExitRecord(BaseModel):
    """End of one agent process. exit_code: negative for the number of a signal."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    channel_name: str
    uid: int
    pid: int | None
    exit_reason: ExitReason
    exit_code: int | None
    stopped_by: str | None = Field(
        description="step of the stop sequence that ended it: ask, terminate, dump, kill"
    )
    uptime_s: float
    ended_at_ms: int = Field(description="Unix time in milliseconds")
    error: str | None = Field(
        default=None,
        description="why the start failed, the process was stopped, or no restart follows",
    )
    is_restarted: bool = Field(default=False, description="another process resumes the call")
    is_given_up: bool = Field(
        default=False,
        description="not restarted: another process would fail likewise, or the budget is spent",
    )
    stacks: str | None = Field(
        default=None, description="stacks of its threads and tasks, if it had to be dumped"
    )


class AgentStatus(BaseModel):
    """Status of an agent in its supervisor's view."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    channel_name: str
    uid: int
    name: str = Field(default="", description="the agent's display name in its channel")
    definition: str | None = Field(
        default=None, description="agent of the server's app, if the start named one"
    )
    team: str = Field(default="", description="of the key that started it; empty for none")
    key: str = Field(default="", description="name of the API key that started it")
    state: AgentState
    pid: int | None
    provider: str
    model: str
    uptime_s: float
    restarts: int = Field(default=0, description="processes that were lost in this call")
    remembered: int = Field(
        default=0, description="conversation entries that a replacement process would resume from"
    )
    timings_ms: dict[str, float] = Field(description="duration of each phase of the start")
    loop_lag_ms: float | None = Field(
        description="worst lateness of its event loop, as of the last heartbeat"
    )
    private_bytes: int | None = Field(description="private memory")
    pss_bytes: int | None = Field(
        default=None, description="private memory plus its share of shared memory (PSS)"
    )
    descriptors: int | None = Field(default=None, description="open files and sockets")
    cpu_s: float | None = Field(
        default=None, description="processor seconds that its process has used so far"
    )
    vitals: Vitals | None = Field(
        default=None, description="users and media, as of the last heartbeat"
    )
    heartbeat_age_s: float | None = Field(description="time since its last heartbeat")
    last_exit: ExitRecord | None = Field(
        default=None, description="end of the last process of this run, or of the run before"
    )

    @property
    def is_live(self) -> bool:
        """True if the call goes on; else this is the last status of one that has ended."""
        return self.state not in (AgentState.EXITED, AgentState.FATAL)


class Placement(Protocol):
    """Start, stop and show agents, one per channel."""

    async def start(
        self, config: AgentConfig, *, prepare: Preparation | None = None, should_wait: bool = True
    ) -> AgentStatus:
        """Start an agent; returns when it is ready (at once unless `should_wait`).

        Raises:
            AlreadyRunningError: the channel has an agent; of concurrent starts all but one fail so.
            AgentStartError: it never became ready, and nothing of it is left.
            AtCapacityError: there is no capacity for it now.
            DrainingError: starts are refused.
        """
        ...

    async def stop(self, channel_name: str, reason: ExitReason = ExitReason.STOPPED) -> ExitRecord:
        """Stop the channel's agent; returns when its process is gone.

        Raises:
            NotRunningError: there is none.
            StopFailedError: the process survived SIGKILL.
        """
        ...

    async def command(self, channel_name: str, command: LiveCommand) -> CommandResult:
        """Execute an API command in the channel's agent.

        Raises:
            NotRunningError: there is none.
            CommandRefusedError: nothing was done, `not_ready` among the codes.
            AgentSilentError: no answer in time.
            AgentGoneError: the agent's process ended before it answered.
        """
        ...

    async def adopt(self, channel_name: str, descriptor: int, adoption: Adoption) -> None:
        """Hand the socket of a client's connection to the channel's agent, once that is ready.

        The agent's process gets a copy of `descriptor`; the caller closes its own, unread, afterwards.

        Raises:
            NotRunningError: there is no agent.
            CommandRefusedError: the agent does not take it; the code is a word of `bridge.closes`.
            AgentSilentError: no answer in time.
            AgentGoneError: the agent's process ended first.
        """
        ...

    def status(self, channel_name: str) -> AgentStatus:
        """Return the channel's live agent, or its last one (`exited`, `fatal`) as long as it is kept.

        Raises:
            NotRunningError: nothing is known of the channel.
        """
        ...

    def list(self) -> list[AgentStatus]:
        """Return all live agents."""
        ...

    @property
    def is_draining(self) -> bool:
        """True once starts are refused for good."""
        ...

    def refuse_starts(self) -> None:
        """Refuse further starts. Lost processes of live calls are still replaced."""
        ...

    async def drain(self, deadline_s: float = 0.0, reason: ExitReason = ExitReason.STOPPED) -> None:
        """Refuse starts, wait up to `deadline_s` for agents to end, then stop the others at once,
        within the deadlines of the stop sequence. Of several drains the earliest deadline counts.
        """
        ...
