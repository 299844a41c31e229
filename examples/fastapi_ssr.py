"""A page rendered on the server for the visitor who asks for it: FastAPI and Jinja2.

Run it in the root of the repository, in the environment that `make demo` sets up. Alone it asks
itself for a few pages and prints them; with --serve it listens on http://127.0.0.1:8001::

    .venv/bin/pip install fastapi jinja2
    .venv/bin/python examples/fastapi_ssr.py
    .venv/bin/python examples/fastapi_ssr.py --serve
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import pathlib
import re
import sys

import httpx
import jinja2
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from whichvariant import Engine
from whichvariant.entries import link_entries
from whichvariant.events import RequestContext
from whichvariant.web import EngineDecider, WebSettings
from whichvariant.web.asgi import ExperienceMiddleware
from whichvariant.web.jinja import ExperiencesExtension

SPACE = pathlib.Path(__file__).parents[1] / "fixtures" / "storefront" / "space.json"
HOME = "pageHome7ujHO2DWwOd8rc"

# In a shop these come from Contentful's Delivery API, with `include=10`, and are kept for a while.
ENTRIES = link_entries(json.loads(SPACE.read_text())).by_id

PAGE = """<!doctype html>
<html lang="en">
<title>{{ page.fields.internalName }}</title>
<p>Hello in {{ merge_tag("location.city", "your town") }}!</p>
{% for section in page.fields.sections -%}
<section {{ tracking(section) }}>{{ section.fields.title or section.fields.text }}</section>
{% endfor -%}
<button>{{ flag("checkout.buttonLabel", "Buy") }}</button>
{{ experiences_handoff() }}
</html>
"""

templates = Jinja2Templates(
    env=jinja2.Environment(
        loader=jinja2.DictLoader({"page.html": PAGE}),
        autoescape=True,
        extensions=[ExperiencesExtension],
    )
)


def located(context: RequestContext) -> RequestContext:
    """Where the visitor is; a shop would ask its CDN. Here the address may say it."""
    city = context.query.get("city")
    if city is None:
        return context
    return dataclasses.replace(context, location={"city": city, "countryCode": "DE"})


app = FastAPI()
app.add_middleware(
    ExperienceMiddleware,
    decider=EngineDecider(Engine.load(SPACE)),
    settings=WebSettings(context=located, skip=("/about",)),
)


@app.get("/", response_class=HTMLResponse)
async def home(request: Request) -> HTMLResponse:
    """The home page, every section in the visitor's variant."""
    page = request.state.experiences.resolve(ENTRIES[HOME])
    return templates.TemplateResponse(request, "page.html", {"page": page})


@app.get("/about")
async def about() -> dict[str, str]:
    """Nothing here is personal, so nothing is decided, and any cache may keep it."""
    return {"shop": "Fernweh"}


async def show() -> None:
    """Ask for some pages, as browsers would, and print what matters of them."""
    browser = {
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
    }
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="https://fernweh.example", headers=browser
    ) as visitor:
        visitor.cookies.set("ntaid", "visitor-3", domain="fernweh.example")
        for path in ("/", "/?city=Berlin", "/about"):
            response = await visitor.get(path)
            print(f"GET {path}")
            for text in re.findall(r"<(?:p|section|button)[^>]*>(.*?)<", response.text):
                print(f"  {text}")
            print(f"  cache-control: {response.headers.get('cache-control', '-')}")
            print(f"  set-cookie: {response.headers.get('set-cookie', '-')}")


if __name__ == "__main__":
    if "--serve" in sys.argv:
        uvicorn.run(app, host="127.0.0.1", port=8001)
    else:
        asyncio.run(show())
