"""`Placement`: where agents run. The local one is `supervisor.Supervisor`; a cluster is another.

Nothing above this seam knows which. Errors: `PlacementError` is the base; each says what to answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from config import AgentConfig
from conversation.lifecycle import AgentState, ExitReason
from conversation.live_commands import CommandResult, LiveCommand
from conversation.vitals import Vitals

Preparation = Callable[[], Awaitable[None]]
"""What must be done before an agent's process starts; raises `AgentStartError`."""


class PlacementError(Exception):
    """Base of what a placement refuses or fails to do."""


class AlreadyRunningError(PlacementError):
    """The channel has a live agent."""

    def __init__(self, channel_name: str) -> None:
        super().__init__(f"Agent already running for channel: {channel_name}")


class NotRunningError(PlacementError):
    """The channel has no live agent."""

    def __init__(self) -> None:
        super().__init__("No active agent found for the provided channel_name")


class DrainingError(PlacementError):
    """No agents are started any more."""

    def __init__(self) -> None:
        super().__init__("the server drains: it starts no more agents")


class AtCapacityError(PlacementError):
    """There is no room for one more agent now.

    reason: `agents`, `cpu`, `memory`, `processes` or `descriptors`; figures: what was measured and
    its limits, with units
    """

    def __init__(
        self, message: str, *, reason: str, figures: Mapping[str, float], retry_after_s: int
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.figures = figures
        self.retry_after_s = retry_after_s


class AgentSilentError(PlacementError):
    """The agent did not answer a command in time; it may still carry it out."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"the agent did not answer within {deadline_s:g} s")


class AgentGoneError(PlacementError):
    """The agent's process ended before it answered a command; whether that took effect is unknown."""

    def __init__(self) -> None:
        super().__init__("the agent's process ended before it answered")


class StopFailedError(PlacementError):
    """The process survived even SIGKILL for now (the kernel is busy with it); it holds its channel."""


class AgentStartError(PlacementError):
    """An agent never became ready; nothing of it is left.

    phase: `model` (the local model), `starting` (the process), `joining` (the room), `tools`
        (an MCP server), `connecting` (the provider)
    code: machine word of the cause
    is_retryable: whether another process could fare better
    """

    def __init__(self, phase: str, code: str, message: str, *, is_retryable: bool = True) -> None:
        super().__init__(message)
        self.phase = phase
        self.code = code
        self.is_retryable = is_retryable


class ExitRecord(BaseModel):
    """How a run ended. `exit_code`: of its process, negative for a signal's number."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    channel_name: str
    uid: int
    pid: int | None
    exit_reason: ExitReason
    exit_code: int | None
    stopped_by: str | None = Field(
        description="rung of the stop ladder that ended it: ask, terminate, dump, kill"
    )
    uptime_s: float
    ended_at_ms: int = Field(description="Unix time in milliseconds")
    error: str | None = Field(
        default=None, description="why it never became ready, was ended, or is given up"
    )
    is_restarted: bool = Field(default=False, description="another process goes on with the call")
    is_given_up: bool = Field(default=False, description="no other process would fare better")
    stacks: str | None = Field(
        default=None, description="of its threads and tasks, if it was in trouble"
    )


class AgentStatus(BaseModel):
    """An agent as its supervisor sees it."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    channel_name: str
    uid: int
    state: AgentState
    pid: int | None
    provider: str
    model: str
    uptime_s: float
    restarts: int = Field(default=0, description="processes that were lost in this call")
    remembered: int = Field(
        default=0, description="entries of the conversation that another process would be told"
    )
    timings_ms: dict[str, float] = Field(description="duration of each phase of the start")
    loop_lag_ms: float | None = Field(description="worst lateness of its loop, last heartbeat")
    private_bytes: int | None = Field(description="memory of its own")
    pss_bytes: int | None = Field(
        default=None, description="the same, with its share of what processes have in common"
    )
    descriptors: int | None = Field(default=None, description="files and sockets it has open")
    vitals: Vitals | None = Field(default=None, description="people and media, last heartbeat")
    heartbeat_age_s: float | None = Field(description="since its loop last answered")
    last_exit: ExitRecord | None = Field(
        default=None, description="how this run, or the one before, ended"
    )


class Placement(Protocol):
    """Starts, stops and shows agents, one a channel."""

    async def start(
        self, config: AgentConfig, *, prepare: Preparation | None = None, should_wait: bool = True
    ) -> AgentStatus:
        """Start an agent; returns when it is ready (at once unless `should_wait`).

        Raises:
            AlreadyRunningError: of any number of concurrent starts all but one.
            AgentStartError: it never became ready, and nothing of it is left.
            AtCapacityError: there is no room for it.
            DrainingError: too late.
        """
        ...

    async def stop(self, channel_name: str, reason: ExitReason = ExitReason.STOPPED) -> ExitRecord:
        """End the channel's agent; returns when its process is gone.

        Raises:
            NotRunningError: there is none.
            StopFailedError: the process does not go.
        """
        ...

    async def command(self, channel_name: str, command: LiveCommand) -> CommandResult:
        """Have the channel's agent carry out a command of its owner.

        Raises:
            NotRunningError: there is none.
            CommandRefusedError: nothing was done, `not_ready` among the reasons.
            AgentSilentError: no answer came in time.
            AgentGoneError: the agent's process ended before it answered.
        """
        ...

    def status(self, channel_name: str) -> AgentStatus:
        """The channel's live agent; or its last one (state `exited`), as long as remembered.

        Raises:
            NotRunningError: nothing is known of the channel.
        """
        ...

    def list(self) -> list[AgentStatus]:
        """All live agents."""
        ...

    @property
    def is_draining(self) -> bool:
        """Whether starts are refused for good."""
        ...

    def refuse_starts(self) -> None:
        """Start nothing more. A lost agent of a call that goes on is still replaced."""
        ...

    async def drain(self, deadline_s: float = 0.0, reason: ExitReason = ExitReason.STOPPED) -> None:
        """Start nothing more; let agents end by themselves for `deadline_s`, then end the others,
        all at once, within the ladder's deadlines. Of several drains the first to be due counts.
        """
        ...
