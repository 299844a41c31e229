"""Runs the site of django_site.py. Django can be configured once in a process, and this is its.

A line of JSON in for each request: {configured, server, path, headers, extra}; a line out for each
response, with what was logged.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import logging
import sys
from typing import Any

import django
from django.conf import settings
from django.test import AsyncClient, Client, override_settings

PAGE = """{% load whichvariant %}{% variant entry as hero %}{% variant many as all %}
<section {% tracking hero %}>{{ hero.fields.title }}|{% flag "label" "none" %}|
{% merge_tag "session.landingPage.query.name" "you" %}</section>
{{ all|length }}{% experiences_handoff %}"""


def configure() -> None:
    loaders = [("django.template.loaders.locmem.Loader", {"page.html": PAGE})]
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        ROOT_URLCONF="tests.web.django_site",
        SECRET_KEY="of a test",
        INSTALLED_APPS=["whichvariant.web.django"],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "whichvariant.web.django.middleware.ExperienceMiddleware",
            "django.middleware.common.CommonMiddleware",
        ],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "OPTIONS": {
                    "loaders": loaders,
                    "context_processors": ["django.template.context_processors.request"],
                },
            },
            {
                "BACKEND": "django.template.backends.jinja2.Jinja2",
                "OPTIONS": {"extensions": ["whichvariant.web.jinja.ExperiencesExtension"]},
            },
        ],
        LOGGING_CONFIG=None,
    )
    django.setup()


def show(response: Any, body: bytes) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "text": body.decode(),
        "headers": {name.lower(): value for name, value in response.items()},
        "cookies": {
            name: {"value": morsel.value, **{key: str(item) for key, item in morsel.items()}}
            for name, morsel in response.cookies.items()
        },
    }


def ask_wsgi(request: dict[str, Any]) -> dict[str, Any]:
    client = Client(raise_request_exception=False)
    response: Any = client.get(request["path"], headers=request["headers"], **request["extra"])
    return show(response, response.getvalue())


async def ask_asgi(request: dict[str, Any]) -> dict[str, Any]:
    client = AsyncClient(raise_request_exception=False)
    response: Any = await client.get(request["path"], headers=request["headers"])
    if response.streaming:
        return show(response, b"".join([part async for part in response]))
    return show(response, response.content)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    logged = io.StringIO()
    handler = logging.StreamHandler(logged)
    logging.getLogger().addHandler(handler)
    try:
        with override_settings(WHICHVARIANT=request["configured"]):
            if request["server"] == "wsgi":
                found = ask_wsgi(request)
            else:
                found = asyncio.run(ask_asgi(request))
    except Exception as error:  # noqa: BLE001 - the test looks at it
        found = {"error": f"{type(error).__name__}: {error}"}
    finally:
        logging.getLogger().removeHandler(handler)
    return {**found, "logged": logged.getvalue()}


def main() -> None:
    configure()
    importlib.import_module("tests.web.django_site")
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
