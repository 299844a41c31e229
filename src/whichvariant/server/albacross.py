"""Albacross as a provider of firmographics: its Reveal API, version 1.0.

``GET {url}/company/{address}`` with ``Authorization: Api-Key KEY`` answers 200 with a company, or
204 if it knows none. It knows IPv4 addresses only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from whichvariant.errors import SettingsError
from whichvariant.server.enrichment import ProviderError

TRAIT = "albacross"
"""The trait that holds the company. A site's own `company` stays as it is."""

FIELDS = (
    "name",
    "country",
    "url",
    "number",
    "description",
    "founded_year",
    "address",
    "linkedin_url",
    "employees",
    "financial_report",
    "nace_code",
    "linkedin_industry_code",
)
"""What the API documents of a company; what else comes is left out."""

_LARGEST = 32 << 10
_TIMEOUT_S = 5.0


class Albacross:
    """Asks Albacross. For one event loop; `close` it there.

    Parameters
    ----------
    key
        The API key.
    url
        The API's address: ``https://api.albacross.com/reveal``, or the older
        ``https://reveal.api.albacross.com``.
    """

    def __init__(self, key: str, url: str) -> None:
        check_albacross(key, url)
        # As the client writes it, in its log as well.
        self._url = str(httpx.URL(url)).rstrip("/")
        self._client = httpx.AsyncClient(
            headers={"authorization": f"Api-Key {key}", "accept": "application/json"},
            timeout=_TIMEOUT_S,
            follow_redirects=False,
        )
        _keep_out_of_logs(self._url)

    async def __call__(self, address: str, /) -> Mapping[str, Any] | None:
        """The company behind an address, as the trait `TRAIT`."""
        if ":" in address:
            return None
        async with self._client.stream("GET", f"{self._url}/company/{address}") as answer:
            if answer.status_code == 204:
                return None
            if answer.status_code != 200:
                raise ProviderError(f"Albacross answered {answer.status_code}")
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > _LARGEST:
                    raise ProviderError(f"Albacross answered more than {_LARGEST} bytes")
        try:
            company = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise ProviderError("Albacross answered no JSON") from None
        if not isinstance(company, dict):
            raise ProviderError("Albacross answered no company")
        known = {
            field: company[field]
            for field in FIELDS
            if company.get(field) is not None and company[field] not in ("", {})
        }
        return {TRAIT: known} if known else None

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


def check_albacross(key: str, url: str) -> None:
    """SettingsError if they cannot be used."""
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise SettingsError("albacross_key: a key has printable ASCII characters only")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    more = parsed.userinfo or parsed.query or parsed.fragment
    if parsed.scheme not in {"http", "https"} or not parsed.host or more:
        raise SettingsError(f"albacross_url: expected an https address, got {url[:200]!r}")


class _NoAddresses(logging.Filter):
    """Drops the lines in which the HTTP client names what it asks: visitors' addresses."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def filter(self, record: logging.LogRecord) -> bool:
        return f"{self.url}/" not in record.getMessage()


def _keep_out_of_logs(url: str) -> None:
    log = logging.getLogger("httpx")
    if not any(isinstance(one, _NoAddresses) and one.url == url for one in log.filters):
        log.addFilter(_NoAddresses(url))
