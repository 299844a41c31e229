"""``/docs``: the API's description as one page of HTML. No scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from whichvariant.server.openapi_schemas import Json

_METHODS = ("get", "post", "delete")

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d8dee4; --page: #fff;
  --pane: #f6f8fa; --get: #0a6b3d; --post: #0b57b0; --delete: #b3261e; --link: #0b57b0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa4af; --line: #343b44;
  --page: #14171b; --pane: #1c2127; --get: #5cc98f; --post: #78b0ff; --delete: #ff8b82;
  --link: #78b0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 4rem; max-width: 58rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; } p { margin: .4rem 0; } a { color: var(--link); }
.soft, td small { color: var(--soft); }
code, pre { font: .875em/1.45 ui-monospace, monospace; }
pre { background: var(--pane); border: 1px solid var(--line); border-radius: 6px; padding: .75rem;
  overflow-x: auto; white-space: pre; overflow-wrap: normal; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; }
details > summary { cursor: pointer; padding: .6rem .8rem; }
details > :not(summary) { margin-left: .8rem; margin-right: .8rem; }
details details { background: var(--pane); }
.method { display: inline-block; min-width: 4rem; font-weight: 700; text-transform: uppercase; }
.get { color: var(--get); } .post { color: var(--post); } .delete { color: var(--delete); }
.path { font-family: ui-monospace, monospace; font-size: .875em; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 .8rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: normal; }
th { color: var(--soft); font-weight: 600; } td:last-child { min-width: 12rem; }
"""

POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
    f" style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
"""The page's Content-Security-Policy: its own style, and nothing else."""


def docs_page(described: Json) -> str:
    """The page for an OpenAPI document of ours."""
    info = described["info"]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(info['title'])} {_text(info['version'])}</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<header><h1>{_text(info['title'])}</h1>",
        f'<p class="soft">Version {_text(info["version"])} ·',
        '<a href="openapi.json">openapi.json</a></p>',
        "".join(f"<p>{_prose(one)}</p>" for one in info["description"].strip().split("\n\n")),
        "</header><main>",
        *_operations(described),
        "<h2>Errors</h2>",
        _table(
            ("answer", "when"),
            [
                (_answer_name(described, name, response), _prose(response["description"]))
                for name, response in described["components"]["responses"].items()
            ],
        ),
        "<h2>Schemas</h2>",
        *(
            _schema(described, name, schema)
            for name, schema in sorted(described["components"]["schemas"].items())
        ),
        "</main></body></html>",
    ]
    return "\n".join(parts)


def _operations(described: Json) -> Iterator[str]:
    for tag in described["tags"]:
        yield f"<h2>{_text(tag['name'].capitalize())}</h2><p>{_prose(tag['description'])}</p>"
        for path, item in described["paths"].items():
            for method in _METHODS:
                operation = item.get(method)
                if operation is not None and tag["name"] in operation["tags"]:
                    yield _operation(path, method, item, operation)


def _operation(path: str, method: str, item: Json, operation: Json) -> str:
    parameters = [*item.get("parameters", ()), *operation.get("parameters", ())]
    parts = [
        f'<details id="{_text(operation["operationId"])}"><summary>',
        f'<span class="method {method}">{method}</span> {_text(operation["summary"])}<br>',
        f'<span class="path soft">{_text(path)}</span></summary>',
        f"<p>{_prose(operation.get('description', ''))}</p>",
    ]
    if "security" in operation:
        parts.append("<p>Needs <code>Authorization: Bearer</code> with the admin token.</p>")
    if parameters:
        described = [
            (_parameter(one), _kind(one["schema"]), _prose(one.get("description", "")))
            for one in parameters
        ]
        parts += ["<h3>Parameters</h3>", _table(("name", "type", ""), described)]
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]
        first = next(iter(content.values()))
        kinds = " or ".join(f"<code>{_text(kind)}</code>" for kind in content)
        parts.append(f"<h3>Body</h3><p>{kinds}: {_kind(first['schema'])}</p>")
        parts += _examples(first.get("examples", {}))
    parts.append("<h3>Answers</h3>")
    rows = []
    for status, response in operation["responses"].items():
        if "$ref" in response:
            name = response["$ref"].rpartition("/")[2]
            rows.append((f"<code>{status}</code>", _text(name)))
            continue
        content = response.get("content", {})
        kinds = ", ".join(_kind(one["schema"]) for one in content.values())
        rows.append((f"<code>{status}</code>", f"{_prose(response['description'])} {kinds}"))
    parts.append(_table(("status", ""), rows))
    for media in operation["responses"]["200"].get("content", {}).values():
        parts += _examples(media.get("examples", {}))
    parts.append("</details>")
    return "\n".join(parts)


def _parameter(parameter: Json) -> str:
    needed = ", required" if parameter.get("required") else ""
    name = f"<code>{_text(parameter['name'])}</code>"
    return f"{name}<br><small>{_text(parameter['in'])}{needed}</small>"


def _examples(examples: Json) -> Iterator[str]:
    for name, example in examples.items():
        text = json.dumps(example["value"], indent=2, ensure_ascii=False)
        title = example.get("summary", f"Example: {name}")
        yield f"<details><summary>{_text(title)}</summary><pre>{_text(text)}</pre></details>"


def _answer_name(described: Json, name: str, response: Json) -> str:
    media = next(iter(response["content"].values()))
    codes = sorted({one["value"]["error"]["code"] for one in media["examples"].values()})
    statuses = {
        status
        for item in described["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict)
        for status, one in operation.get("responses", {}).items()
        if one.get("$ref", "").endswith(f"/{name}")
    }
    listed = " ".join(sorted(statuses))
    shown = "<br>".join(f"<code>{_text(code)}</code>" for code in codes)
    return f"{_text(listed)} {_text(name)}<br><small>{shown}</small>"


def _schema(described: Json, name: str, schema: Json) -> str:
    parts = [f'<details id="schema-{_text(name)}"><summary><code>{_text(name)}</code></summary>']
    if "description" in schema:
        parts.append(f"<p>{_prose(schema['description'])}</p>")
    if "properties" in schema:
        required = schema.get("required", ())
        rows = [
            (
                f"<code>{_text(key)}</code>"
                + ("<br><small>required</small>" if key in required else ""),
                _kind(value),
                _prose(value.get("description", "")),
            )
            for key, value in schema["properties"].items()
        ]
        parts.append(_table(("name", "type", ""), rows))
    else:
        parts.append(f"<p>{_kind(schema)}</p>")
    parts.append("</details>")
    return "\n".join(parts)


def _kind(schema: Json) -> str:
    """What a value is, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{_text(name)}">{_text(name)}</a>'
    if "enum" in schema:
        return " | ".join(f"<code>{_text(json.dumps(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{_text(json.dumps(schema['const']))}</code>"
    for word, between in (("anyOf", " or "), ("oneOf", " or "), ("allOf", " with ")):
        if word in schema:
            return between.join(_kind(one) for one in schema[word])
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and "properties" in schema:
        inner = ", ".join(
            f"<code>{_text(key)}</code>: {_kind(value)}"
            for key, value in schema["properties"].items()
        )
        return f"{{{inner}}}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    if schema.get("format"):
        return f"{kind} ({_text(schema['format'])})"
    return _text(kind)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = "".join(f"<th>{one}</th>" for one in head)
    body = "".join(f"<tr>{''.join(f'<td>{one}</td>' for one in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells}</tr>{body}</table></div>'


def _prose(text: str) -> str:
    """Text with its `code` marked."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


def _text(value: Any) -> str:
    return html.escape(str(value))
