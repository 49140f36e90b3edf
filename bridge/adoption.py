"""`Adoption`: the message that goes with a socket from the control server to the agent's process."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field


class Adoption(BaseModel):
    """A connection that the control server has let in, and that the agent takes over.

    route: variable parts of its address; received: all bytes read from it so far
    uid: of the participant; may_replace: it is proven to be theirs, so that another connection with
        it ends
    secret: with which the session may be resumed; last_seq: None for a new session
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dialect: str
    route: Mapping[str, str] = Field(default_factory=dict)
    received: Base64Bytes = Field(repr=False)
    session_id: str
    secret: str = Field(repr=False)
    uid: int
    may_replace: bool = False
    last_seq: int | None = None


class BridgeRefusedError(Exception):
    """The agent does not take a connection; `code` is a word of `bridge.closes`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
