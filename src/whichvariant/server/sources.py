"""Where a server's configurations come from, all together."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Set
from typing import NamedTuple

from whichvariant.contracts.namespace import Namespace
from whichvariant.errors import SettingsError
from whichvariant.server.settings import ServerSettings
from whichvariant.sources.catalog import Source
from whichvariant.sources.delivery import DeliverySource, delivery_places
from whichvariant.sources.files import FileSource


class Places(NamedTuple):
    """What the setting `config` names: documents of environments, and folders of folders."""

    files: dict[Namespace, list[str]]
    folders: list[pathlib.Path]


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


def read_places(settings: ServerSettings) -> Places:
    """What ``settings.config`` names. SettingsError if a text names nothing."""
    places = Places({}, [])
    for text in settings.config:
        namespace, path = parse_place(text)
        if namespace is None and os.path.isdir(path):
            places.folders.append(pathlib.Path(path))
        else:
            plain = Namespace(settings.organization, settings.environment)
            places.files.setdefault(namespace or plain, []).append(path)
    return places


def parse_place(text: str) -> tuple[Namespace | None, str]:
    """``ORGANIZATION/ENVIRONMENT=FILE`` as its two parts; without the first, None and the path."""
    name, equals, path = text.partition("=")
    parts = name.split("/")
    if not equals or len(parts) != 2 or not all(parts) or parts[0] in {".", ".."}:
        return None, text
    if os.path.exists(text):
        return None, text
    if not path:
        raise SettingsError(f"config: {text!r} names no file")
    return Namespace(*parts), path
