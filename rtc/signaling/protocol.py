"""The frames of the room protocol (`docs/signaling.md`): one model per frame, both directions.

What a client sends is checked strictly (unknown fields are refused); what a server sends is read
leniently, so that an older client survives a newer server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from line.participants import Role
from rtc.identifiers import Uid
from untrusted.json_reader import InvalidJsonError, read_json
from untrusted.validation import first_validation_error

MAX_FRAME_BYTES: Final = 64 * 1024
MAX_SDP_CHARACTERS: Final = 60_000
MAX_CHAT_CHARACTERS: Final = 8_000
MAX_NAME_CHARACTERS: Final = 64
MAX_REFUSAL_CHARACTERS: Final = 500

_WORD = r"^[A-Za-z0-9_-]{1,64}$"

LeaveReason = Literal["left", "vanished", "replaced", "closed"]
SdpType = Literal["offer", "answer"]
Word = Annotated[str, Field(pattern=_WORD)]
SdpText = Annotated[str, Field(min_length=1, max_length=MAX_SDP_CHARACTERS)]


class SignalError(ValueError):
    """A frame that is refused. `code` is one of the documented words; `request` its type if known."""

    def __init__(self, code: str, message: str, request: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request = request


class _ClientFrame(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _ServerFrame(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


# -- client -> server --------------------------------------------------------------------------


class Join(_ClientFrame):
    """`instance` names one page load or process; it distinguishes a rejoin from a replacement.

    `resume_secret` is that of an earlier `joined`: it proves that the place of `uid` is ours.
    """

    type: Literal["join"] = "join"
    role: Role
    uid: Uid | None = None
    name: str = Field(default="", max_length=MAX_NAME_CHARACTERS)
    instance: Word | None = None
    resume_secret: Word | None = Field(default=None, repr=False)
    token: str | None = Field(default=None, max_length=4096, repr=False)


class Leave(_ClientFrame):
    type: Literal["leave"] = "leave"


class Mute(_ClientFrame):
    type: Literal["mute"] = "mute"
    is_muted: bool


class _Description(BaseModel):
    connection_id: Word
    sdp_type: SdpType
    sdp: SdpText


class Description(_Description, _ClientFrame):
    type: Literal["description"] = "description"
    to: Uid


class _Candidate(BaseModel):
    """`candidate` empty: no more will come."""

    connection_id: Word
    candidate: str = Field(max_length=1024)
    sdp_mid: str | None = Field(default=None, max_length=64)
    sdp_m_line_index: int | None = Field(default=None, ge=0, le=64)


class _Refusal(BaseModel):
    """Says why a description is not used: `invalid`, `failed`, or `too_many_offers`."""

    connection_id: Word
    code: Word
    message: str = Field(max_length=MAX_REFUSAL_CHARACTERS)


class Refuse(_Refusal, _ClientFrame):
    type: Literal["refuse"] = "refuse"
    to: Uid


class Candidate(_Candidate, _ClientFrame):
    type: Literal["candidate"] = "candidate"
    to: Uid


class Chat(_ClientFrame):
    type: Literal["chat"] = "chat"
    text: str = Field(min_length=1, max_length=MAX_CHAT_CHARACTERS)
    message_id: Word | None = None


class Ping(_ClientFrame):
    """Asks for a `pong`: pages cannot see whether their socket still carries."""

    type: Literal["ping"] = "ping"


class PeerClosed(_ClientFrame):
    """From an agent: the peer connection of its one-request caller `uid` ended."""

    type: Literal["peer_closed"] = "peer_closed"
    uid: Uid


ClientFrame = Join | Leave | Mute | Description | Candidate | Refuse | Chat | Ping | PeerClosed


# -- server -> client --------------------------------------------------------------------------


class MemberInfo(_ServerFrame):
    """A participant as others see it. `via`: the agent that alone reaches a one-request caller."""

    uid: Uid
    name: str
    role: Role
    is_muted: bool
    instance: str
    via: Uid | None = None


class IceServer(_ServerFrame):
    """A STUN or TURN server, as in W3C's RTCIceServer."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = Field(default=None, repr=False)


class Joined(_ServerFrame):
    """`resume_secret` is for the member alone; empty: this room has none."""

    type: Literal["joined"] = "joined"
    channel: str
    uid: Uid
    instance: str
    resume_secret: str = Field(default="", repr=False)
    is_resumed: bool
    members: tuple[MemberInfo, ...]
    ice_servers: tuple[IceServer, ...] = ()
    is_relay_only: bool = False


class MemberJoined(_ServerFrame):
    type: Literal["member_joined"] = "member_joined"
    member: MemberInfo


class MemberLeft(_ServerFrame):
    type: Literal["member_left"] = "member_left"
    uid: Uid
    reason: LeaveReason


class MemberUpdated(_ServerFrame):
    type: Literal["member_updated"] = "member_updated"
    member: MemberInfo


class RelayedDescription(_Description, _ServerFrame):
    type: Literal["description"] = "description"
    sender: Uid = Field(validation_alias="from", serialization_alias="from")


class RelayedCandidate(_Candidate, _ServerFrame):
    type: Literal["candidate"] = "candidate"
    sender: Uid = Field(validation_alias="from", serialization_alias="from")


class RelayedRefusal(_Refusal, _ServerFrame):
    type: Literal["refuse"] = "refuse"
    sender: Uid = Field(validation_alias="from", serialization_alias="from")


class RelayedChat(_ServerFrame):
    type: Literal["chat"] = "chat"
    sender: Uid = Field(validation_alias="from", serialization_alias="from")
    text: str
    message_id: str
    sent_at_ms: int


class Pong(_ServerFrame):
    type: Literal["pong"] = "pong"


class FreshIceServers(_ServerFrame):
    """In place of those of `joined`, whose credentials expire."""

    type: Literal["ice_servers"] = "ice_servers"
    ice_servers: tuple[IceServer, ...]


class ErrorFrame(_ServerFrame):
    type: Literal["error"] = "error"
    code: str
    message: str
    request: str | None = None


ServerFrame = (
    Joined
    | MemberJoined
    | MemberLeft
    | MemberUpdated
    | RelayedDescription
    | RelayedCandidate
    | RelayedRefusal
    | RelayedChat
    | Pong
    | FreshIceServers
    | ErrorFrame
)

_CLIENT_FRAMES: Final[Mapping[str, type[ClientFrame]]] = {
    model.model_fields["type"].default: model for model in get_args(ClientFrame)
}
_SERVER_FRAMES: Final[Mapping[str, type[ServerFrame]]] = {
    model.model_fields["type"].default: model for model in get_args(ServerFrame)
}


def require_known_fields(data: Mapping[str, Any], model: type[BaseModel]) -> None:
    """Refuse what has a field that `model` has not, before each of them becomes an error to build.

    Raises:
        ValueError: naming one of them.
    """
    known = model.model_fields
    for name in data:
        if name not in known:
            raise ValueError(f"{name[:MAX_NAME_CHARACTERS]}: there is no such field")


def read_frame_object(text: str) -> dict[str, Any]:
    """The JSON object of a frame, of whatever type.

    Raises:
        SignalError: with code malformed.
    """
    try:
        # No field is a fraction: what is no number is refused as a value, which says where it is.
        data = read_json(text, allow_nan=True)
    except InvalidJsonError as error:
        raise SignalError("malformed", "the frame is not JSON") from error
    if not isinstance(data, dict):
        raise SignalError("malformed", "the frame must be a JSON object with a `type`")
    return data


def client_frame(data: Mapping[str, Any]) -> ClientFrame:
    """The frame of a client that is in `data`.

    Raises:
        SignalError: with code unknown_type or invalid.
    """
    kind = data.get("type")
    model = _CLIENT_FRAMES.get(kind) if isinstance(kind, str) else None
    if model is None:
        known = ", ".join(sorted(_CLIENT_FRAMES))
        raise SignalError("unknown_type", f"`type` must be one of: {known}")
    try:
        require_known_fields(data, model)
        return model.model_validate(data)
    except ValidationError as error:
        raise SignalError("invalid", first_validation_error(error, whole="frame"), kind) from error
    except ValueError as error:
        raise SignalError("invalid", str(error), kind) from error


def parse_client_frame(text: str) -> ClientFrame:
    """One frame of a client.

    Raises:
        SignalError: with code malformed, unknown_type or invalid.
    """
    return client_frame(read_frame_object(text))


def parse_server_frame(text: str) -> ServerFrame | None:
    """One frame of a server; None for a type this client does not know.

    Raises:
        SignalError: with code malformed or invalid.
    """
    data = read_frame_object(text)
    kind = data.get("type")
    model = _SERVER_FRAMES.get(kind) if isinstance(kind, str) else None
    if model is None:
        return None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SignalError("invalid", first_validation_error(error, whole="frame")) from error


def serialize(frame: BaseModel) -> str:
    """The frame as the text that travels."""
    return frame.model_dump_json(by_alias=True)
