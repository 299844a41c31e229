"""Pages rendered on a server for the visitor who asked for them (docs/rendering.md).

`whichvariant.web.asgi` has middleware for ASGI, `whichvariant.web.django` for Django, with template
tags; `whichvariant.web.jinja` has filters and functions for Jinja2. The frameworks are the site's
own: nothing here brings them along, and only the module of a framework imports it.
"""

from whichvariant.web.cookies import NINETAILED, OPTIMIZATION, CookieSettings
from whichvariant.web.deciders import Decider, EngineDecider, ServiceDecider
from whichvariant.web.experiences import Experiences, tracking_attributes
from whichvariant.web.visits import Consent, WebSettings

__all__ = [
    "NINETAILED",
    "OPTIMIZATION",
    "Consent",
    "CookieSettings",
    "Decider",
    "EngineDecider",
    "Experiences",
    "ServiceDecider",
    "WebSettings",
    "tracking_attributes",
]
