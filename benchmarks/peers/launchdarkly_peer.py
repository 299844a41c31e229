"""LaunchDarkly's Python SDK, from a file: audiences are segments, an OR of ANDs."""

from __future__ import annotations

import json
import pathlib
import tempfile
from collections.abc import Mapping

from ldclient import Context, LDClient
from ldclient.config import Config
from ldclient.integrations import Files

from benchmarks.peers.launchdarkly_flags import data_of
from benchmarks.peers.rules import Decisions, Inexact, Json, Peer


def make(document: Mapping[str, Json], inexact: Inexact) -> Peer:
    """One flag with a percentage rollout for each experience, one segment for each audience."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "flags.json")
        path.write_text(json.dumps(data_of(document, None)))
        client = LDClient(
            Config(
                "none",
                update_processor_class=Files.new_data_source(paths=[str(path)]),
                send_events=False,
                diagnostic_opt_out=True,
            ),
            start_wait=10,
        )
    if not client.is_initialized():
        raise RuntimeError("the client does not accept the file")

    def prepare(profile: Mapping[str, Json]) -> tuple[str, dict[str, Json]]:
        parts = {part: profile[part] for part in ("traits", "location", "session")}
        return profile["stableId"], parts

    def decide(visitor: tuple[str, dict[str, Json]]) -> Json:
        key, parts = visitor
        builder = Context.builder(key)
        for name, value in parts.items():
            builder.set(name, value)
        # Faster than asking for one variation after the other.
        return client.all_flags_state(builder.build())

    def read(result: Json) -> Decisions:
        values = result.to_values_map()
        return [(name, value) for name, value in values.items() if value is not None]

    return Peer("Context.builder, then all_flags_state", prepare, decide, read, client.close)
