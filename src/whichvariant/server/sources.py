"""Where a server's configurations come from, all together."""

from __future__ import annotations

import pathlib
from collections.abc import Set

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import SettingsError
from whichvariant.server.catalog import Source
from whichvariant.server.delivery import DeliverySource, delivery_places
from whichvariant.server.files import FileSource, read_places
from whichvariant.server.settings import ServerSettings


def all_sources(settings: ServerSettings, given: Set[Namespace] = frozenset()) -> list[Source]:
    """The sources that settings name. ``given`` are namespaces that have an engine already.

    SettingsError if two sources claim one environment.
    """
    places = read_places(settings)
    sources: list[Source] = []
    for namespace in sorted(given & places.files.keys()):
        raise SettingsError(f"config: {'/'.join(namespace)} has an engine given by the program")
    plain = Namespace(settings.organization, settings.environment)
    delivered = delivery_places(settings.delivery, settings.delivery_token, plain)
    for namespace in sorted(delivered.keys() & (given | places.files.keys())):
        raise SettingsError(f"delivery: {'/'.join(namespace)} has another source already")
    if delivered:
        cache = settings.delivery_cache
        sources.append(
            DeliverySource(
                delivered.values(),
                settings.delivery_url,
                poll_s=settings.delivery_poll_s,
                cache=pathlib.Path(cache) if cache else None,
                strict=settings.strict,
            )
        )
    if places.files or places.folders:
        sources.append(
            FileSource(
                places.files,
                places.folders,
                taken=given | delivered.keys(),
                strict=settings.strict,
                reload_s=settings.reload_s,
            )
        )
    return sources
