"""The aiohttp application: routes of `operations.OPERATIONS` behind errors, guards and headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from config import Settings
from control.access.addresses import Addresses
from control.access.limits import AccessRules, RequestLimits
from control.access.origins import Origins
from control.api.auth import IS_OWNER, ApiKeys, is_local, require_local
from control.api.bodies import MAX_BODY_BYTES
from control.api.console import SECURITY_HEADERS, Console
from control.api.errors import answer_errors
from control.api.operations import OPERATIONS, Guard
from control.metrics.page import MetricsPage
from control.metrics.requests import measure_requests
from httpd.bodies import expect_continue
from rtc.room_server import RoomServer

_METHODS: Final = frozenset({one.method for one in OPERATIONS} | {"HEAD"})
_HEADERS: Final = frozenset(
    {"Authorization", "Content-Type", "Range"}
    | {part.name for one in OPERATIONS for part in one.parameters if part.where == "header"}
)
_GUARDS: Final = {(one.method, one.path): one.guard for one in OPERATIONS}


def create_app(
    settings: Settings,
    apis: Sequence[object],
    console: Console,
    rooms: RoomServer,
    metrics: MetricsPage,
) -> web.Application:
    """Everything that the control server answers. apis: one of them has a method for each operation."""
    origins = Origins(settings.allowed_origins, _METHODS, _HEADERS)
    limits = RequestLimits(_rules(settings), Addresses(settings.trusted_proxies))
    app = web.Application(
        client_max_size=MAX_BODY_BYTES,
        middlewares=[
            measure_requests(metrics.figures),
            answer_errors,
            _limit(limits),
            _guard(settings, origins, limits),
        ],
    )
    app.on_response_prepare.append(add_security_headers)
    app.on_response_prepare.append(origins.mark)
    pages = {"page": console.handle_page, "asset": console.handle_asset, "metrics": metrics.handle}
    for one in OPERATIONS:
        if not one.is_of_room:
            path = one.path.replace("{path}", "{path:.+}")
            handler = pages.get(one.name) or _method(apis, one.name)
            for method in ("GET", "HEAD") if one.method == "GET" else (one.method,):
                app.router.add_route(method, path, handler, expect_handler=expect_continue)
    rooms.add_routes(app)
    return app


def _method(apis: Sequence[object], name: str) -> Handler:
    return cast("Handler", next(getattr(api, name) for api in apis if hasattr(api, name)))


async def add_security_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """The page's rules, on every answer: it cannot matter where they are not needed."""
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
            return await handler(request)  # whether we live may always be asked
        return await limits.answer(request, handler)

    return limit


def _guard(settings: Settings, origins: Origins, limits: RequestLimits) -> Middleware:
    keys = ApiKeys([key.get_secret_value() for key in settings.api_keys])
    readers = ApiKeys(
        [key.get_secret_value() for key in settings.api_keys] + _metrics_keys(settings)
    )
    is_room_open = settings.room_token_secret is None

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (permission := origins.preflight(request)) is not None:
            return permission
        wanted = guard_of(request)
        known = readers if wanted is Guard.METRICS else keys
        if wanted is Guard.OPEN:
            request[IS_OWNER] = _is_owner(request, keys, origins, limits)
        elif wanted is Guard.ROOM:
            if is_room_open or not keys:
                require_local(request.headers, origins)
        elif known:
            limits.count_key(known.require(request.headers))
        else:
            require_local(request.headers, origins)
        return await handler(request)

    return guard


def _is_owner(request: web.Request, keys: ApiKeys, origins: Origins, limits: RequestLimits) -> bool:
    if keys:
        return limits.shows_key(request, keys)
    return limits.is_of_this_machine(request) and is_local(request.headers, origins)


def _metrics_keys(settings: Settings) -> list[str]:
    token = settings.metrics_token
    return [] if token is None else [token.get_secret_value()]


def guard_of(request: web.Request) -> Guard:
    """Who may use what this request asks for; what is not there is guarded as the API is."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource else ""
    method = "GET" if request.method == "HEAD" else request.method
    return _GUARDS.get((method, path.replace("{path:.+}", "{path}")), Guard.KEY)
