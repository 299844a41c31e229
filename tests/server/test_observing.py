"""Metrics, logs and traces: what they say, and that they say nothing of anybody."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from tests.server.conftest import client_of
from tests.server.events import event, identify, page
from tests.server.running import Served, served

from whichvariant import Engine
from whichvariant.server import App
from whichvariant.server.tracing import Tracing

SECRETS = ["jo.doe", "8.8.4.4", "Whatphone", "golden-plan", "very-private", "bought-shoes"]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def revealing() -> list[dict[str, object]]:
    """Events that are full of what must stay with the profile."""
    sent = page(url="https://shop.example/very-private?token=very-private")
    sent["context"]["userAgent"] = "Whatphone/1.0"
    return [sent, identify("jo.doe@x.example", plan="golden-plan"), event(
        "track", event="bought-shoes", properties={"note": "very-private"}
    )]  # fmt: skip


def ask(server: Served) -> str:
    """Good and bad requests of every kind; the id of the profile that they are about."""
    headers = {"x-force-ip": "8.8.4.4", "traceparent": TRACE}
    with httpx.Client(base_url=server.api, headers=headers, timeout=20) as client:
        made = client.post("/profiles", json={"events": revealing()})
        key: str = made.json()["data"]["profile"]["id"]
        assert made.status_code == 200
        broken = [{**identify("jo.doe"), "traits": "very-private"}]
        for path in ("/profiles", f"/profiles/{key}", "/profiles/jo.doe", "/events"):
            client.post(path, json={"events": revealing()})
            client.post(path, json={"events": broken})
            client.post(path, content=b'{"very-private": ')
        client.get("/profiles/jo.doe@x.example?locale=very-private")
        client.get("/profiles/very-private")
        client.request("PUT", "/profiles/very-private")
        client.get("/very-private")
        client.post("/import/events", json={"events": [{**revealing()[0], "anonymousId": key}]})
        client.delete(f"/profiles/{key}")
    return key


@pytest.mark.parametrize("form", ["json", "text"])
def test_logs_hold_nothing_personal(tmp_path: pathlib.Path, form: str) -> None:
    arguments = ("--log-format", form, "--log-level", "debug", "--log-requests", "1")
    with served(tmp_path, *arguments) as server:
        key = ask(server)
        server.stop()
        text = server.log.read_text()
    lines = [line for line in text.splitlines() if "answered" in line]
    assert len(lines) > 15
    for secret in (*SECRETS, key, key[:12]):
        assert secret not in text, secret
    if form == "json":
        parsed = [json.loads(line) for line in text.splitlines()]
        answered = [line for line in parsed if line["message"] == "answered"]
        assert {line["endpoint"] for line in answered} >= {"create", "update", "get", "upsert"}
        assert all(
            line["trace_id"] == TRACE.split("-")[1] for line in answered if "trace_id" in line
        )
        assert all(line["duration_ms"] >= 0 for line in answered)


def families(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by name of sample, and labels."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_metrics_name_nobody(server: Served) -> None:
    key = ask(server)
    text = httpx.get(f"{server.url}/metrics").text
    for secret in (*SECRETS, key, key[:12]):
        assert secret not in text, secret
    ours = [line for line in text.splitlines() if line.startswith("whichvariant_")]
    labels = set(re.findall(r'[{,](\w+)="', "\n".join(ours)))
    assert labels <= {
        *("endpoint", "status", "le", "organization", "environment", "experience", "variant"),
        *("digest", "version", "scheme", "cached"),
    }, labels


async def test_metrics_count(make_app: Callable[..., App], engine: Engine) -> None:
    async with client_of(make_app()) as client:
        chosen: dict[tuple[str, str], int] = {}
        for number in range(20):
            path = "/profiles?type=preflight" if number % 2 else "/profiles"
            data = (await client.post(path, json={"events": [page()]})).json()["data"]
            for one in data["experiences"]:
                place = (one["experienceId"], str(one["variantIndex"]))
                chosen[place] = chosen.get(place, 0) + 1
        for _ in range(3):
            await client.get("/profiles/nobody")
        answer = await client.get("http://server/metrics")
        found = families(answer.text)
        counted = {
            (dict(labels)["endpoint"], dict(labels)["status"]): value
            for labels, value in found["whichvariant_request_duration_seconds_count"].items()
        }
        assert counted["create", "2xx"] == 10
        assert counted["preflight", "2xx"] == 10
        assert counted["get", "4xx"] == 3
        selections = {
            (dict(labels)["experience"], dict(labels)["variant"]): value
            for labels, value in found["whichvariant_selections_total"].items()
        }
        assert selections == chosen
        digests = {dict(labels)["digest"] for labels in found["whichvariant_configuration_info"]}
        assert digests == {engine.digest}


async def test_spans_continue_the_callers_trace(make_app: Callable[..., App]) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = make_app()
    app.tracing = Tracing(app.catalog, provider)
    async with client_of(app) as client:
        answer = await client.post(
            "/profiles", json={"events": revealing()}, headers={"traceparent": TRACE}
        )
        await client.get("/profiles/nobody")
    created, missed = exporter.get_finished_spans()
    version, trace_id, span_id, _ = answer.headers["traceparent"].split("-")
    assert version == "00"
    assert trace_id == TRACE.split("-")[1]
    assert span_id == f"{created.context.span_id:016x}"
    assert f"{created.context.trace_id:032x}" == trace_id
    assert created.parent is not None
    assert f"{created.parent.span_id:016x}" == TRACE.split("-")[2]
    assert created.attributes is not None
    assert created.attributes["http.response.status_code"] == 200
    assert created.attributes["http.route"].startswith("/v2/organizations/{organizationId}")
    assert missed.attributes is not None
    assert missed.attributes["http.response.status_code"] == 404
    said = created.to_json() + missed.to_json()
    for secret in (*SECRETS, "nobody"):
        assert secret not in said
