"""The aiohttp application: routes of `operations.OPERATIONS` behind errors, guards and headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from config.settings import Settings
from control.api.console import SECURITY_HEADERS
from control.api.operation import Guard, Handlers, Operation
from control.api.operations import OPERATIONS
from control.http.addresses import Addresses
from control.http.audit import audit_requests
from control.http.auth import ACCESS, ApiKeys, is_local, require_local
from control.http.bodies import MAX_BODY_BYTES
from control.http.errors import ApiError, answer_errors
from control.http.limits import AccessRules, RequestLimits
from control.http.origins import Origins
from control.http.request_metrics import measure_requests
from control.keys.access import EVERYTHING, Access
from control.keys.audit_log import AuditLog
from control.keys.named_keys import NamedKeys
from control.keys.usage import KeyUsage
from control.metrics.figures import Figures
from http_server.bodies import expect_continue
from rtc.room_server.server import RoomServer


@dataclass(frozen=True, kw_only=True)
class KeyParts:
    """Parts of the server by which requests are let in, counted and recorded."""

    keys: ApiKeys
    named: NamedKeys
    usage: KeyUsage
    audit: AuditLog


_METHODS: Final = frozenset({one.method for one in OPERATIONS} | {"HEAD"})
_HEADERS: Final = frozenset(
    {"Authorization", "Content-Type", "Range"}
    | {part.name for one in OPERATIONS for part in one.parameters if part.where == "header"}
)
_OPERATIONS: Final = {(one.method, one.path): one for one in OPERATIONS}


def create_app(
    settings: Settings,
    handlers: Handlers,
    rooms: RoomServer,
    figures: Figures,
    keys: KeyParts,
) -> web.Application:
    """The application of the control server: all operations, and the routes of `rooms`."""
    origins = Origins(settings.allowed_origins, _METHODS, _HEADERS)
    limits = RequestLimits(_rules(settings), Addresses(settings.trusted_proxies))
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[
            measure_requests(figures),
            audit_requests(keys.audit, _audited_action),
            answer_errors,
            _limit(limits),
            _guard(settings, origins, limits, keys),
        ],
    )
    app.on_response_prepare.append(add_security_headers)
    app.on_response_prepare.append(origins.mark)
    for one in OPERATIONS:
        if one.handler is not None:
            path = one.path.replace("{path}", "{path:.+}")
            handler = one.handler(handlers)
            for method in ("GET", "HEAD") if one.method == "GET" else (one.method,):
                app.router.add_route(method, path, handler, expect_handler=expect_continue)
    rooms.add_routes(app)
    return app


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Set the page's security headers on every answer; they are harmless elsewhere."""
    response.headers.update(SECURITY_HEADERS)


def _rules(settings: Settings) -> AccessRules:
    return AccessRules(
        settings.requests_per_s_per_address,
        settings.requests_per_s_per_key,
        settings.max_open_requests,
        settings.max_open_requests_per_address,
    )


def _limit(limits: RequestLimits) -> Middleware:
    @web.middleware
    async def limit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if guard_of(request) is Guard.OPEN:
            return await handler(request)  # liveness probes are never limited
        return await limits.answer(request, handler)

    return limit


def _audited_action(request: web.Request) -> str | None:
    operation = operation_of(request)
    return operation.name if operation is not None and operation.is_audited else None


def _guard(
    settings: Settings, origins: Origins, limits: RequestLimits, parts: KeyParts
) -> Middleware:
    keys = parts.keys
    of_settings = [key.get_secret_value() for key in settings.api_keys]
    readers = ApiKeys(of_settings + _metrics_keys(settings), parts.named)
    is_room_open = settings.room_token_secret is None

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (permission := origins.preflight(request)) is not None:
            return permission
        wanted = guard_of(request)
        known = readers if wanted is Guard.METRICS else keys
        if wanted is Guard.OPEN:
            if (shown := _shown_access(request, keys, origins, limits)) is not None:
                request[ACCESS] = shown
        elif wanted is Guard.ROOM:
            if is_room_open or not keys:
                require_local(request.headers, origins)
        elif wanted is Guard.BRIDGE:
            # With an API key from anywhere; else as the rooms.
            has_key = keys.is_shown(request.headers)
            if not has_key or (is_room_open and limits.shown_key(request, keys) is None):
                require_local(request.headers, origins)
        elif known.is_shown(request.headers):
            access = known.require(request.headers)
            limits.count_key(access.key)
            parts.usage.requests[access.key] += 1
            require_scope(access, operation_of(request))
            request[ACCESS] = access
        else:
            require_local(request.headers, origins)
            request[ACCESS] = EVERYTHING
        return await handler(request)

    return guard


def require_scope(access: Access, operation: Operation | None) -> None:
    """Require the scope that an operation names. An unknown path is answered with 404 by the router.

    Raises:
        ApiError: 403, the key has another scope, or is of a team.
    """
    if operation is None or operation.scope is None:
        return
    if not access.may(operation.scopes):
        wanted = " or ".join(sorted(operation.scopes))
        text = f"the key {access.key} needs the scope {wanted}"
        raise ApiError(403, "missing_scope", text)
    if operation.is_for_all_teams and not access.is_of_all_teams:
        text = f"the key {access.key} is of the team {access.team}: this is for keys of no team"
        raise ApiError(403, "missing_scope", text)


def _shown_access(
    request: web.Request, keys: ApiKeys, origins: Origins, limits: RequestLimits
) -> Access | None:
    if keys.is_shown(request.headers):
        return limits.shown_key(request, keys)
    is_ours = limits.is_of_this_machine(request) and is_local(request.headers, origins)
    return EVERYTHING if is_ours else None


def _metrics_keys(settings: Settings) -> list[str]:
    token = settings.metrics_token
    return [] if token is None else [token.get_secret_value()]


def operation_of(request: web.Request) -> Operation | None:
    """Return the operation of the request's route; None for an unknown path."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource else ""
    method = "GET" if request.method == "HEAD" else request.method
    return _OPERATIONS.get((method, path.replace("{path:.+}", "{path}")))


def guard_of(request: web.Request) -> Guard:
    """Return the guard of the request's route; an unknown path is guarded like the API."""
    operation = operation_of(request)
    return Guard.KEY if operation is None else operation.guard
