"""Errors of the control API, all in one shape: `{"error", "code", "details"?}`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, Field, ValidationError

from control.placement import (
    AgentGoneError,
    AgentSilentError,
    AlreadyRunningError,
    AtCapacityError,
    DrainingError,
    NotRunningError,
    PlacementError,
    StopFailedError,
)
from control.store.errors import ArchiveError, CallsAreLiveError
from conversation.events.commands import CommandRefusedError
from conversation.lifecycle import AgentStartError
from http_server.bodies import BodyError, ClientGoneError
from http_server.errors import ERROR_CODE, of_http_exception
from untrusted.validation import faults_of, first_validation_error

_log = logging.getLogger("control.api")

# Status by code; every other refusal of a live agent depends on its state: 409.
_REFUSALS: Final = {
    "invalid_event": 400,
    "unsupported_by_model": 422,
    "too_many_events": 429,
    "internal_error": 500,
}
_TIMEOUT_CODES: Final = {"timeout", "start_timeout", "model_timeout"}


class ErrorDetail(BaseModel):
    """One fault: a field of the request, a phase of a start and its cause, or a call.

    The refused value is never included: it may be speech or a secret.
    """

    msg: str
    field: str | None = Field(default=None, description="`loc` joined by dots")
    loc: tuple[int | str, ...] | None = Field(
        default=None, description="the field as pydantic names it, step by step"
    )
    type: str | None = Field(default=None, description="pydantic's word for the kind of fault")
    call_id: str | None = None
    phase: str | None = None
    cause: str | None = None
    figures: dict[str, float] | None = Field(
        default=None, description="measured values and their limits; names carry the units"
    )


class ErrorBody(BaseModel):
    """Body of every error answer."""

    error: str = Field(description="text for humans")
    code: str = Field(description="code for programs")
    details: list[ErrorDetail] | None = None


class ApiError(Exception):
    """An error answer. code: for programs; message: the problem and its remedy."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[ErrorDetail] = (),
        *,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = tuple(details)
        self.retry_after_s = retry_after_s

    def response(self) -> web.Response:
        """Return the error as a JSON response."""
        body = ErrorBody(error=str(self), code=self.code, details=list(self.details) or None)
        response = web.Response(
            status=self.status,
            text=body.model_dump_json(exclude_none=True),
            content_type="application/json",
        )
        response[ERROR_CODE] = self.code
        if self.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after_s is not None:
            response.headers["Retry-After"] = str(self.retry_after_s)
        return response


def invalid_request(error: ValidationError) -> ApiError:
    """Return 400 with one detail per fault, at most ten; values are not repeated."""
    details = [
        ErrorDetail(field=one.field or None, loc=one.place, type=one.kind, msg=one.text)
        for one in faults_of(error)
    ]
    text = f"Invalid request data: {first_validation_error(error)}"
    return ApiError(400, "invalid_request", text, details)


def failure_of(error: ApiError | ArchiveError | PlacementError | AgentStartError) -> ApiError:
    """Map a failed start to its answer."""
    match error:
        case ApiError():
            return error
        case CallsAreLiveError():
            details = [ErrorDetail(msg="is live", call_id=one) for one in error.call_ids]
            return ApiError(error.status, error.code, str(error), details)
        case ArchiveError():
            return ApiError(error.status, error.code, str(error))
        case AgentStartError():
            return _start_failure(error)
        case PlacementError():
            return placement_failure(error)


def placement_failure(error: PlacementError) -> ApiError:
    """Map a refusal or failure of the placement to its answer."""
    match error:
        case AlreadyRunningError():
            return ApiError(400, "already_running", str(error))
        case NotRunningError():
            return ApiError(404, "not_running", str(error))
        case DrainingError():
            return ApiError(503, "draining", str(error))
        case AtCapacityError():
            return _no_room(error)
        case StopFailedError():
            return ApiError(504, "stop_failed", str(error))
        case AgentSilentError():
            return ApiError(504, "no_answer", str(error))
        case AgentGoneError():
            return ApiError(502, "agent_lost", str(error))
        case _:
            return ApiError(500, "internal_error", "the placement failed; see the server's log")


def command_refusal(error: CommandRefusedError) -> ApiError:
    """Map an agent's refusal of a command to its answer."""
    status = _REFUSALS.get(error.code, 409)
    code = "invalid_request" if status == 400 else error.code
    return ApiError(status, code, str(error), retry_after_s=1 if status == 429 else None)


def _no_room(error: AtCapacityError) -> ApiError:
    details = [ErrorDetail(msg=str(error), cause=error.reason, figures=dict(error.figures))]
    text = f"no capacity for another agent now: {error}"
    return ApiError(429, "at_capacity", text, details, retry_after_s=error.retry_after_s)


def _start_failure(error: AgentStartError) -> ApiError:
    details = [ErrorDetail(phase=error.phase, cause=error.code, msg=str(error))]
    if error.code == "stopped":
        return ApiError(409, "stopped", "the agent was stopped before it was ready", details)
    if error.code == "invalid_settings":
        # Found by the agent before it asked the provider: the request is invalid.
        return ApiError(400, "invalid_request", f"Invalid request data: {error}", details)
    text = f"the start failed in phase {error.phase} ({error.code}): {error}"
    if error.code in _TIMEOUT_CODES:
        return ApiError(504, "start_timeout", text, details)
    return ApiError(502, "start_failed", text, details)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure below this middleware into the error shape."""
    try:
        return await handler(request)
    except (ApiError, ArchiveError, PlacementError, AgentStartError) as error:
        return failure_of(error).response()
    except BodyError as error:
        return ApiError(error.status, error.code, str(error)).response()
    except CommandRefusedError as error:
        return command_refusal(error).response()
    except ClientGoneError:
        raise  # no client is left to answer
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return of_http_exception(error)
    except Exception as error:
        if isinstance(error, ConnectionError) and _is_client_gone(request):
            raise
        _log.exception("%s %s failed", request.method, _route(request))
        return ApiError(500, "internal_error", "the server failed; see its log").response()


def _is_client_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


def _route(request: web.Request) -> str:
    """Return the route's template: a path may contain anything, line ends included."""
    resource = request.match_info.route.resource
    return "none" if resource is None else resource.canonical
