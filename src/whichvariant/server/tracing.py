"""Spans of OpenTelemetry, one for each request (docs/server.md#traces).

Only where the setting ``otel`` is on. The exporter is set up by OpenTelemetry's own variables; an
application that mounts the server and has a tracer provider already keeps that.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeAlias

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from whichvariant.server.endpoints import METHODS
from whichvariant.server.failures import Refused
from whichvariant.server.metrics import endpoint_of
from whichvariant.server.routing import (
    CREATE,
    FLAG,
    FLAGS,
    IMPORT,
    NOWHERE,
    PROFILE,
    UPSERT,
    match,
    path_below,
)

if TYPE_CHECKING:
    from whichvariant.sources.catalog import Catalog

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_BASE = "/v2/organizations/{organizationId}/environments/{environmentSlug}"
ROUTES = {
    CREATE: f"{_BASE}/profiles",
    PROFILE: f"{_BASE}/profiles/{{profileId}}",
    UPSERT: f"{_BASE}/events",
    IMPORT: f"{_BASE}/import/events",
    FLAG: "/ofrep/v1/evaluate/flags/{key}",
    FLAGS: "/ofrep/v1/evaluate/flags",
}
_PAGES = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
_METHODS = frozenset(method for methods in METHODS.values() for method in methods) | {
    "OPTIONS",
    "HEAD",
    "PUT",
    "PATCH",
}
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Puts a span around each request, which its answer's `traceparent` names."""

    def __init__(self, catalog: Catalog, provider: trace.TracerProvider | None = None) -> None:
        self._catalog = catalog
        self._tracer = trace.get_tracer("whichvariant", tracer_provider=provider)

    async def around(
        self,
        answer: Callable[[Scope, Receive, Send], Awaitable[None]],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer a request inside of a span."""
        name, attributes = self._described(scope)
        given = {
            key.decode("latin-1"): value.decode("latin-1")
            for key, value in scope["headers"]
            if key in {b"traceparent", b"tracestate"}
        }
        with self._tracer.start_as_current_span(
            name, extract(given), SpanKind.SERVER, attributes, record_exception=False
        ) as span:
            carrier: dict[str, str] = {}
            _propagator.inject(carrier)
            own = carrier.get("traceparent", "").encode()
            others = [one for one in scope["headers"] if one[0] != b"traceparent"]
            traced = {**scope, "headers": [*others, (b"traceparent", own)]}

            async def noting(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                    headers = [one for one in message["headers"] if one[0] != b"traceparent"]
                    message = {**message, "headers": [*headers, (b"traceparent", own)]}
                await send(message)

            await answer(traced, receive, noting)

    def _described(self, scope: Scope) -> tuple[str, dict[str, str]]:
        """A span's name and attributes: nothing that a client makes up."""
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        attributes = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        try:
            route = match(path_below(scope))
        except Refused:
            route = None
        if route is None:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            if path in _PAGES:
                attributes["http.route"] = path
                return f"{method} {path}", attributes
            return method, attributes
        attributes["http.route"] = ROUTES[route.kind]
        if route.kind in {FLAG, FLAGS} and route.namespace is not NOWHERE:
            attributes["http.route"] = _BASE + ROUTES[route.kind]
        if self._catalog.find(route.namespace) is not None:
            attributes["whichvariant.organization"] = route.namespace.organization
            attributes["whichvariant.environment"] = route.namespace.environment
        return endpoint_of(route.kind, method, scope["query_string"]), attributes


def set_up_exporter() -> None:
    """Export spans as OpenTelemetry's variables say, over OTLP, for this process."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", "whichvariant")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
