"""A page rendered on the server for the visitor who asks for it: Django, in one file.

Run it in the root of the repository, in the environment that `make demo` sets up. Alone it asks
itself for a few pages and prints them; with --serve it listens on http://127.0.0.1:8002::

    .venv/bin/pip install django
    .venv/bin/python examples/django_ssr.py
    .venv/bin/python examples/django_ssr.py --serve
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import sys
from wsgiref.simple_server import make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import path

from whichvariant import Engine
from whichvariant.entries import link_entries
from whichvariant.events import RequestContext
from whichvariant.web import EngineDecider, WebSettings

SPACE = pathlib.Path(__file__).parents[1] / "fixtures" / "storefront" / "space.json"
HOME = "pageHome7ujHO2DWwOd8rc"

# In a shop these come from Contentful's Delivery API, with `include=10`, and are kept for a while.
ENTRIES = link_entries(json.loads(SPACE.read_text())).by_id

PAGE = """{% load whichvariant %}{% variant page as shown %}<!doctype html>
<html lang="en">
<title>{{ shown.fields.internalName }}</title>
<p>Hello in {% merge_tag "location.city" "your town" %}!</p>
{% for section in shown.fields.sections %}
<section {% tracking section %}>{% firstof section.fields.title section.fields.text %}</section>
{% endfor %}
<button>{% flag "checkout.buttonLabel" "Buy" %}</button>
{% experiences_handoff %}
</html>
"""


def located(context: RequestContext) -> RequestContext:
    """Where the visitor is; a shop would ask its CDN. Here the address may say it."""
    city = context.query.get("city")
    if city is None:
        return context
    return dataclasses.replace(context, location={"city": city, "countryCode": "DE"})


def home(request: HttpRequest) -> HttpResponse:
    """The home page; its template puts every section in the visitor's variant."""
    return TemplateResponse(request, "page.html", {"page": ENTRIES[HOME]})


def about(request: HttpRequest) -> HttpResponse:
    """Nothing here is personal, so nothing is decided, and any cache may keep it."""
    return JsonResponse({"shop": "Fernweh"})


urlpatterns = [path("", home), path("about", about)]

settings.configure(
    ALLOWED_HOSTS=["fernweh.example", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["whichvariant.web.django"],
    MIDDLEWARE=["whichvariant.web.django.middleware.ExperienceMiddleware"],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [("django.template.loaders.locmem.Loader", {"page.html": PAGE})],
                "context_processors": ["django.template.context_processors.request"],
            },
        }
    ],
    WHICHVARIANT={
        "decider": EngineDecider(Engine.load(SPACE)),
        "settings": WebSettings(context=located),
    },
)
django.setup()


def show() -> None:
    """Ask for some pages, as browsers would, and print what matters of them."""
    browser = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
    visitor = Client(headers={"user-agent": browser, "host": "fernweh.example"})
    visitor.cookies["ntaid"] = "visitor-3"
    for address in ("/", "/?city=Berlin", "/about"):
        response = visitor.get(address, secure=True)
        print(f"GET {address}")
        for text in re.findall(r"<(?:p|section|button)[^>]*>(.*?)<", response.content.decode()):
            print(f"  {text}")
        print(f"  cache-control: {response.headers.get('cache-control', '-')}")
        print(f"  set-cookie: {response.cookies.output(header='').strip() or '-'}")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        make_server("127.0.0.1", 8002, get_wsgi_application()).serve_forever()
    else:
        show()
