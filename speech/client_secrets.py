"""`POST /v1/realtime/client_secrets`: ephemeral keys for pages and apps, in OpenAI's shape."""

from __future__ import annotations

from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from http_server.bodies import BodyError, read_body
from realtime import struct as wire
from speech.abilities import Abilities
from speech.access import Access, RefusedError
from speech.ephemeral_keys import DEFAULT_TTL_S, MAX_TTL_S, MIN_TTL_S, EphemeralKeys
from speech.errors import ClientError
from speech.session_config import default_session, updated_session
from untrusted.json_reader import InvalidJsonError, read_object
from untrusted.validation import first_fault

MAX_BODY_BYTES: Final = 256 * 1024
BODY_TIMEOUT_S: Final = 10.0


class _ExpiresAfter(BaseModel):
    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"] = "created_at"
    seconds: int = Field(default=DEFAULT_TTL_S, ge=MIN_TTL_S, le=MAX_TTL_S)


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expires_after: _ExpiresAfter = Field(default_factory=_ExpiresAfter)
    session: dict[str, Any] | None = None


async def create_client_secret(
    request: web.Request, access: Access, keys: EphemeralKeys, abilities: Abilities
) -> web.Response:
    """Answer with a new key and the session that it opens.

    abilities: of the sessions of this server

    Raises:
        RefusedError: no right to it, or the body asks for what is not here.
    """
    if access.check(request).is_ephemeral:
        raise RefusedError(401, "invalid_api_key", "An ephemeral key creates no further keys.")
    wanted = await _read(request)
    settings = None if wanted.session is None else read_settings(wanted.session, abilities)
    key = keys.create(settings, wanted.expires_after.seconds)
    session = default_session(abilities, session_id=wire.new_id("sess"), expires_at=0)
    if settings is not None:
        session = updated_session(session, settings, abilities)
    body = {"value": key.value, "expires_at": key.expires_at_s}
    answer = wire.Session(**session).model_dump(mode="json", exclude_unset=True)
    return web.json_response({**body, "session": answer})


def read_settings(settings: object, abilities: Abilities) -> wire.Session:
    """Read the settings with which a client wants a session to begin.

    Raises:
        RefusedError: something in them is wrong, or is not available here; with its path.
    """
    try:
        session = wire.Session.model_validate(settings)
        default = default_session(abilities, session_id="", expires_at=0)
        updated_session(default, session, abilities)
    except ValidationError as error:
        fault = first_fault(error)
        path = ".".join(str(step) for step in ("session", *fault.place))
        raise RefusedError(400, "invalid_value", f"{path}: {fault.text}", param=path) from None
    except ClientError as error:
        raise RefusedError(400, error.code, str(error), param=error.param) from error
    return session


async def _read(request: web.Request) -> _Wanted:
    try:
        body = await read_body(request, max_bytes=MAX_BODY_BYTES, timeout_s=BODY_TIMEOUT_S)
        return _Wanted.model_validate(read_object(body) if body.strip() else {})
    except BodyError as error:
        raise RefusedError(error.status, error.code, str(error)) from error
    except InvalidJsonError:
        raise RefusedError(400, "invalid_json", "The body is not a JSON object.") from None
    except ValidationError as error:
        fault = first_fault(error)
        path = ".".join(str(step) for step in fault.place)
        raise RefusedError(400, "invalid_value", f"{path}: {fault.text}", param=path) from None
