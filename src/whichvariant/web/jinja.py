"""Jinja2: filters and functions for entries, flags and merge tags.

::

    templates = Jinja2Templates("templates")
    templates.env.add_extension(ExperiencesExtension)

A template needs ``request`` in its context, as Starlette's and FastAPI's `TemplateResponse` and
Django's Jinja2 backend put it there, or ``experiences`` itself.

======================================  ==========================================================
``{% set hero = entry | variant %}``    an entry, or a list of them, as the visitor sees it
``{{ flag("key", "default") }}``        the value of an inline variable
``{{ merge_tag("traits.name", "you")}}``  a value of the profile, escaped like any other
``<section {{ tracking(hero) }}>``      what the vendor's web SDK reports views by
``{{ experiences_handoff() }}``         the decision as JSON, for the page's own scripts
======================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jinja2 import Environment, Undefined, pass_context
from jinja2.exceptions import TemplateRuntimeError
from jinja2.ext import Extension
from jinja2.runtime import Context
from markupsafe import Markup

from whichvariant.web.experiences import Experiences
from whichvariant.web.templates import experiences_of, handoff_html, tracking_html


class ExperiencesExtension(Extension):
    """Adds what this module describes to an environment."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters["variant"] = variant
        environment.globals.update(
            flag=flag,
            merge_tag=merge_tag,
            tracking=tracking,
            experiences_handoff=experiences_handoff,
        )


def _experiences(context: Context) -> Experiences:
    names = ("experiences", "request")
    return experiences_of({name: context.get(name) for name in names})


@pass_context
def variant(context: Context, entry: Any) -> Any:
    """An entry, or several, as the visitor sees them.

    None for nothing to show, and for no entry; of a list those that are to be shown.
    """
    if entry is None or isinstance(entry, Undefined):
        return None
    if isinstance(entry, Mapping):
        return _experiences(context).resolve(entry)
    if isinstance(entry, Iterable) and not isinstance(entry, str):
        return _experiences(context).resolve_all(entry)
    raise TemplateRuntimeError("variant: neither an entry nor a list of entries")


@pass_context
def flag(context: Context, key: str, default: Any = None) -> Any:
    """The value of an inline variable, or the default."""
    return _experiences(context).flag(key, default)


@pass_context
def merge_tag(context: Context, tag_id: str, fallback: str = "") -> str:
    """A value of the visitor's profile as text, or the fallback."""
    return _experiences(context).merge_tag(tag_id, fallback)


def tracking(entry: Any) -> Markup:
    """The attributes by which the vendor's web SDK reports views of a resolved entry."""
    return Markup(tracking_html(entry))


@pass_context
def experiences_handoff(context: Context, element_id: str = "experiences") -> Markup:
    """A script element that holds the decision as JSON."""
    return Markup(handoff_html(_experiences(context), element_id))
