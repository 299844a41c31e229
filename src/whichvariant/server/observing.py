"""What is noted of every request that was answered: numbers, and sometimes a line of the log.

Never who asked, nor about whom: no ids, addresses, URLs, user agents or traits.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from whichvariant.server.metrics import Metrics
from whichvariant.server.settings import ServerSettings
from whichvariant.server.traceparent import trace_id

_REQUESTS = logging.getLogger("whichvariant.server.request")
_OVERLOAD_PAUSE_S = 1.0


class Observer:
    """Notes what became of requests. ``metrics`` is None where they are off."""

    def __init__(self, settings: ServerSettings, at_work: Callable[[], int]) -> None:
        self.metrics = None if settings.metrics == "off" else Metrics(at_work)
        self._share = settings.log_requests
        self._quiet_until = 0.0

    def answered(
        self, endpoint: str, status: int, started: float, headers: Mapping[bytes, bytes]
    ) -> None:
        """A request that began at ``started`` (of `perf_counter`) was answered with ``status``."""
        seconds = perf_counter() - started
        if self.metrics is not None:
            self.metrics.answered(endpoint, status, seconds)
        if status >= 500:
            self._log_failure(endpoint, status, seconds, headers)
        elif self._share and random.random() < self._share:
            self._log(logging.INFO, endpoint, status, seconds, headers)
        elif _REQUESTS.isEnabledFor(logging.DEBUG):
            self._log(logging.DEBUG, endpoint, status, seconds, headers)

    def _log_failure(
        self, endpoint: str, status: int, seconds: float, headers: Mapping[bytes, bytes]
    ) -> None:
        if status == 503:
            # Whoever is overloaded has no time for a line about each request that is too much.
            now = perf_counter()
            if now < self._quiet_until:
                return
            self._quiet_until = now + _OVERLOAD_PAUSE_S
        self._log(logging.ERROR, endpoint, status, seconds, headers)

    def _log(
        self,
        level: int,
        endpoint: str,
        status: int,
        seconds: float,
        headers: Mapping[bytes, bytes],
    ) -> None:
        fields: dict[str, Any] = {
            "endpoint": endpoint,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
        }
        trace = trace_id(headers.get(b"traceparent"))
        if trace is not None:
            fields["trace_id"] = trace
        _REQUESTS.log(level, "answered", extra={"fields": fields})
