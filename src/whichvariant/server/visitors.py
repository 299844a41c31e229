"""What a server finds out about the visitor of a request, beside what its events say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from whichvariant.errors import SettingsError
from whichvariant.profiles.location import Located
from whichvariant.server.cdn_location import cdn_location
from whichvariant.server.clients import Clients
from whichvariant.server.enrichment import Enricher, Enrichment
from whichvariant.server.settings import ServerSettings

if TYPE_CHECKING:
    from whichvariant.server.albacross import Albacross
    from whichvariant.server.geo_database import GeoDatabase

_COARSE = frozenset({"continent", "country", "countryCode"})


class VisitorSources(NamedTuple):
    """Whom to believe about visitors, and where to look them up. Shared by all event loops.

    ``enricher`` is given and not closed; of ``albacross``, key and address, each loop makes one.
    """

    clients: Clients
    database: GeoDatabase | None = None
    enricher: Enricher | None = None
    albacross: tuple[str, str] | None = None
    enrichment_timeout_s: float = 0.3

    async def load(self) -> None:
        """Read what takes long, before the first visitor waits for it."""
        if self.database is not None:
            await self.database.look()
        if not self.clients.trusts_nobody:
            cdn_location([(b"cf-ipcountry", b"DE")])


class Visitors:
    """Finds out about visitors, in one event loop."""

    def __init__(self, sources: VisitorSources) -> None:
        self._clients = sources.clients
        self._database = sources.database
        self._albacross: Albacross | None = None
        self._enrichment: Enrichment | None = None
        enricher = sources.enricher
        if enricher is None and sources.albacross is not None:
            from whichvariant.server.albacross import Albacross

            enricher = self._albacross = Albacross(*sources.albacross)
        if enricher is not None:
            self._enrichment = Enrichment(enricher, sources.enrichment_timeout_s)

    async def close(self) -> None:
        """End what goes on, and close what was opened for this loop."""
        if self._enrichment is not None:
            await self._enrichment.close()
        if self._albacross is not None:
            await self._albacross.close()

    @property
    def can_locate(self) -> bool:
        """Whether there is anybody to ask where a visitor is."""
        return self._database is not None or not self._clients.trusts_nobody

    async def run(self, pause_s: float) -> None:
        """Keep sources up to date until cancelled: look every ``pause_s`` seconds, 0 for never."""
        if self._database is not None:
            await self._database.follow(pause_s)

    def locate(self, scope: Mapping[str, Any]) -> Located | None:
        """Where the visitor of a request is, as far as anybody knows. Never raises.

        What the CDN says wins over the database, unless it says no more than the country and the
        database knows the same one in detail. Nothing is mixed: a city of one and the coordinates
        of the other might lie far apart.
        """
        client = self._clients.client_of(scope)
        location: dict[str, Any] | None = {}
        if client.relayed and not client.forced:
            location = cdn_location(scope["headers"])
            if location is None:
                return None
        found = None
        if self._database is not None and client.address is not None:
            found = self._database.find(client.address)
        if not location or found is None:
            return Located(location) if location else found
        code = location.get("countryCode")
        if location.keys() <= _COARSE and code in {None, found.location.get("countryCode")}:
            return found
        same_city = location.get("city") == found.location.get("city")
        return Located(location, found.city_names if same_city else {})

    async def enrich(self, scope: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What a provider knows of the visitor's company, as traits. Never raises."""
        if self._enrichment is None:
            return None
        return await self._enrichment.traits(self._clients.client_of(scope).address)


class Visitor(NamedTuple):
    """The visitor of one request, for the service to ask about if the request wants it."""

    visitors: Visitors
    scope: Mapping[str, Any]

    async def locate(self) -> Located | None:
        """See `Visitors.locate`."""
        return self.visitors.locate(self.scope)

    async def enrich(self) -> Mapping[str, Any] | None:
        """See `Visitors.enrich`."""
        return await self.visitors.enrich(self.scope)


def visitor_sources(settings: ServerSettings, enricher: Enricher | None) -> VisitorSources:
    """What the settings name. SettingsError if they cannot be used."""
    clients = Clients(settings.trusted_proxies)
    database = None
    if settings.geo_database:
        try:
            from whichvariant.server.geo_database import GeoDatabase
        except ImportError:
            raise SettingsError(
                "geo_database: reading it takes another package: pip install 'whichvariant[geo]'"
            ) from None
        database = GeoDatabase(settings.geo_database)
    albacross = None
    if settings.albacross_key is not None:
        from whichvariant.server.albacross import check_albacross

        albacross = (settings.albacross_key, settings.albacross_url)
        check_albacross(*albacross)
    return VisitorSources(clients, database, enricher, albacross, settings.enrichment_timeout_s)
