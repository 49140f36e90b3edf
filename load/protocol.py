"""Messages between the load and its processes of callers: JSON, one object a line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Begin(_Message):
    """The first line. utterances_file: of `load.sounds`; api_key: for what scenarios ask of the server"""

    do: Literal["begin"] = "begin"
    server_url: str
    utterances_file: str


class Dial(_Message):
    """Call the agent of this channel. token: of its room, if it wants one"""

    do: Literal["dial"] = "dial"
    number: int
    channel: str
    token: str | None


class HangUp(_Message):
    """End this call."""

    do: Literal["hang_up"] = "hang_up"
    number: int


Order = Annotated[Begin | Dial | HangUp, Field(discriminator="do")]
ORDERS: TypeAdapter[Order] = TypeAdapter(Order)


class Connected(_Message):
    """Media flows. took_ms: since the order"""

    is_: Literal["connected"] = "connected"
    number: int
    took_ms: float


class Failed(_Message):
    """The call did not come about."""

    is_: Literal["failed"] = "failed"
    number: int
    reason: str


class CallFigures(_Message):
    """Of one call since the last report. sent: frames that the caller sent, and how many of them late"""

    number: int
    frames: int = 0
    late: int = 0
    lost: int = 0
    gaps: int = 0
    gap_ms: float = 0.0
    worst_ms: float = 0.0
    sent: int = 0
    sent_late: int = 0
    latencies_ms: list[float] = []
    unanswered: int = 0
    talked_over: int = 0
    is_lost: bool = False


class Report(_Message):
    """Of all calls of a process, once a second. cores: processor seconds per second"""

    is_: Literal["report"] = "report"
    pid: int
    cores: float
    calls: list[CallFigures]


News = Annotated[Connected | Failed | Report, Field(discriminator="is_")]
NEWS: TypeAdapter[News] = TypeAdapter(News)
