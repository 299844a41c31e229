"""Published providers that decide in the process, with a workload's experiences.

What their services would serve is in ``peers``; here a server on this machine serves it, or a file
holds it where that is what the provider has for tests, and after that nothing is asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import pathlib
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from configcat_openfeature_provider import ConfigCatProvider
from configcatclient import ConfigCatOptions, PollingMode
from growthbook_openfeature_provider import GrowthBookProvider, GrowthBookProviderOptions
from ld_openfeature import LaunchDarklyProvider
from ldclient.config import Config
from ldclient.integrations import Files
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.contrib.provider.unleash import UnleashProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.provider import AbstractProvider

from benchmarks.peers import configcat_flags
from benchmarks.peers.flagd_flags import flags_of
from benchmarks.peers.growthbook_features import features_of as growthbook_features_of
from benchmarks.peers.launchdarkly_flags import data_of
from benchmarks.peers.rules import flattened
from benchmarks.peers.unleash_features import features_of as unleash_features_of
from benchmarks.peers.unleash_features import text

Json = Any
NOBODY = -1
_NUMBERS = itertools.count()

Context = Callable[[Mapping[str, Json]], EvaluationContext]


class Contestant(NamedTuple):
    """A provider that is ready, and how it wants a profile."""

    provider: AbstractProvider
    context: Context


def nested(profile: Mapping[str, Json]) -> EvaluationContext:
    """A profile as the context that says the same."""
    parts = {part: profile[part] for part in ("traits", "location", "session") if part in profile}
    return EvaluationContext(profile["stableId"], parts)


def flagd(document: Mapping[str, Json], folder: pathlib.Path) -> Contestant:
    """From a file."""
    source = folder / "flagd.json"
    source.write_text(json.dumps({"flags": flags_of(document)}))
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(source), deadline_ms=60_000
    )
    return Contestant(_registered("flagd", provider), nested)


def launchdarkly(document: Mapping[str, Json], folder: pathlib.Path) -> Contestant:
    """From a file."""
    source = folder / "launchdarkly.json"
    source.write_text(json.dumps(data_of(document, NOBODY)))
    config = Config(
        "none",
        update_processor_class=Files.new_data_source(paths=[str(source)]),
        send_events=False,
        diagnostic_opt_out=True,
    )
    return Contestant(_registered("LaunchDarkly", LaunchDarklyProvider(config, 60)), nested)


def unleash(document: Mapping[str, Json], served: Served) -> Contestant:
    """Its engine is compiled. Properties are flat texts."""
    features = unleash_features_of(document)
    for feature in features:
        for strategy in feature["strategies"]:
            for variant in strategy["variants"]:
                variant["payload"] = {"type": "number", "value": variant["name"]}
    served.put("/api/client/features", {"version": 2, "features": features})
    provider = UnleashProvider(f"{served.url}/api", f"benchmark {next(_NUMBERS)}", "none")

    def context(profile: Mapping[str, Json]) -> EvaluationContext:
        texts = {name: text(value) for name, value in flattened(profile).items()}
        return EvaluationContext(profile["stableId"], texts)

    return Contestant(_registered("Unleash", provider), context)


def growthbook(document: Mapping[str, Json], served: Served) -> Contestant:
    """Its provider is initialised in a way of its own."""
    served.put("/api/features/none", {"features": growthbook_features_of(document)})
    provider = GrowthBookProvider(GrowthBookProviderOptions(served.url, "none", cache_ttl=86_400))
    asyncio.set_event_loop(asyncio.new_event_loop())
    provider.initialize_sync()
    assert provider.initialized
    return Contestant(provider, nested)


def configcat(document: Mapping[str, Json], served: Served, key: str) -> Contestant:
    """Attributes are flat. It warns of every visitor who lacks one, which is not to be timed."""
    logging.getLogger("configcat").setLevel(logging.ERROR)
    sdk_key = f"{'x' * 22}/{next(_NUMBERS):022}"  # one client for each key
    config = configcat_flags.config_of(document)
    served.put(f"/configuration-files/{sdk_key}/config_v6.json", config)
    options = ConfigCatOptions(base_url=served.url, polling_mode=PollingMode.manual_poll())
    provider = ConfigCatProvider(sdk_key, options)
    provider.client.force_refresh()
    names = configcat_flags.names_of(config, key)

    def context(profile: Mapping[str, Json]) -> EvaluationContext:
        attributes = configcat_flags.attributes_of(profile, names)
        return EvaluationContext(profile["stableId"], attributes)

    return Contestant(_registered("ConfigCat", provider), context)


def _registered(name: str, provider: AbstractProvider) -> AbstractProvider:
    """Initialised as the SDK does it."""
    api.set_provider_and_wait(provider, domain=f"{name} {id(provider)}")
    return provider


class Served:
    """Documents that a server on this machine answers with; whatever it is told, it ignores."""

    def __init__(self) -> None:
        documents: dict[str, bytes] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = documents.get(self.path.partition("?")[0])
                self._answer(404 if body is None else 200, body or b"{}")

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self._answer(202, b"{}")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._documents = documents
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, path: str, document: Json) -> None:
        """Serve a document from now on."""
        self._documents[path] = json.dumps(document).encode()
