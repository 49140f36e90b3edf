"""Every failure of the control API as one shape: `{"error", "code", "details"?}`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from control.api.schemas import ErrorBody, ErrorDetail
from control.placement import (
    AgentGoneError,
    AgentSilentError,
    AgentStartError,
    AlreadyRunningError,
    AtCapacityError,
    DrainingError,
    NotRunningError,
    PlacementError,
    StopFailedError,
)
from control.store.errors import ArchiveError
from conversation.live_commands import CommandRefusedError
from httpd.bodies import BodyError, ClientGoneError
from httpd.errors import ERROR_CODE, of_http_exception
from validation import faults_of

_log = logging.getLogger("control.api")

# Whatever else a live agent refuses is a matter of its state.
_REFUSALS: Final = {
    "invalid_event": 400,
    "unsupported_by_model": 422,
    "too_many_events": 429,
    "internal_error": 500,
}
_TIMEOUT_CODES: Final = {"timeout", "start_timeout", "model_timeout"}


class ApiError(Exception):
    """An answer that is not a success. code: machine word; message: what is wrong, what to do."""

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
        """As JSON."""
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
    """400 with what is wrong with each field, ten at most; values are not repeated."""
    details = [ErrorDetail(field=one.field or None, msg=one.text) for one in faults_of(error)]
    first = details[0]
    where = f"{first.field}: " if first.field else ""
    return ApiError(400, "invalid_request", f"Invalid request data: {where}{first.msg}", details)


def failure_of(error: ApiError | ArchiveError | PlacementError) -> ApiError:
    """What to answer when a start cannot be carried out."""
    match error:
        case ApiError():
            return error
        case ArchiveError():
            return ApiError(error.status, error.code, str(error))
        case PlacementError():
            return placement_failure(error)


def placement_failure(error: PlacementError) -> ApiError:
    """What to answer when a placement refuses or fails."""
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
        case AgentStartError():
            return _start_failure(error)
        case _:
            return ApiError(500, "internal_error", "the placement failed; see the server's log")


def command_refusal(error: CommandRefusedError) -> ApiError:
    """What to answer when an agent does not do what it is told."""
    status = _REFUSALS.get(error.code, 409)
    code = "invalid_request" if status == 400 else error.code
    return ApiError(status, code, str(error), retry_after_s=1 if status == 429 else None)


def _no_room(error: AtCapacityError) -> ApiError:
    details = [ErrorDetail(msg=str(error), cause=error.reason, figures=dict(error.figures))]
    text = f"there is no room for another agent now: {error}"
    return ApiError(429, "at_capacity", text, details, retry_after_s=error.retry_after_s)


def _start_failure(error: AgentStartError) -> ApiError:
    details = [ErrorDetail(phase=error.phase, cause=error.code, msg=str(error))]
    if error.code == "stopped":
        return ApiError(409, "stopped", "the agent was stopped before it was ready", details)
    if error.code == "invalid_settings":
        # Found by the agent, before or without asking the provider: the request is at fault.
        return ApiError(400, "invalid_request", f"Invalid request data: {error}", details)
    text = f"the start failed in phase {error.phase} ({error.code}): {error}"
    if error.code in _TIMEOUT_CODES:
        return ApiError(504, "start_timeout", text, details)
    return ApiError(502, "start_failed", text, details)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure below into the one shape."""
    try:
        return await handler(request)
    except (ApiError, ArchiveError, PlacementError) as error:
        return failure_of(error).response()
    except BodyError as error:
        return ApiError(error.status, error.code, str(error)).response()
    except CommandRefusedError as error:
        return command_refusal(error).response()
    except ClientGoneError:
        raise  # nobody is there to be answered
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
    """Its template: a path may hold anything, line ends too."""
    resource = request.match_info.route.resource
    return "none" if resource is None else resource.canonical
