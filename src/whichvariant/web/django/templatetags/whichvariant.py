"""``{% load whichvariant %}``: entries, flags and merge tags in Django's templates.

The context needs ``request``, as `django.template.context_processors.request` puts it there, or
``experiences`` itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import template
from django.template.context import Context
from django.utils.safestring import SafeString, mark_safe

from whichvariant.web.experiences import Experiences
from whichvariant.web.templates import experiences_of, handoff_html, tracking_html

register = template.Library()


def _experiences(context: Context) -> Experiences:
    names = ("experiences", "request")
    return experiences_of({name: context.get(name) for name in names})


@register.simple_tag(takes_context=True)
def variant(context: Context, entry: Any) -> Any:
    """``{% variant entry as hero %}``: an entry, or several, as the visitor sees them.

    None for nothing to show, and for no entry; of a list those that are to be shown.
    """
    experiences = _experiences(context)
    if entry is None or entry == "":
        return None
    if isinstance(entry, Mapping):
        return experiences.resolve(entry)
    if isinstance(entry, Iterable) and not isinstance(entry, str):
        return experiences.resolve_all(entry)
    raise template.TemplateSyntaxError("variant: neither an entry nor a list of entries")


@register.simple_tag(takes_context=True)
def flag(context: Context, key: str, default: Any = None) -> Any:
    """``{% flag "checkout.label" "Pay" %}``: the value of an inline variable."""
    return _experiences(context).flag(key, default)


@register.simple_tag(takes_context=True)
def merge_tag(context: Context, tag_id: str, fallback: str = "") -> str:
    """``{% merge_tag "location.city" "your town" %}``: a value of the visitor's profile."""
    return _experiences(context).merge_tag(tag_id, fallback)


@register.simple_tag
def tracking(entry: Any) -> SafeString:
    """``<section {% tracking hero %}>``: what the vendor's web SDK reports views by."""
    return mark_safe(tracking_html(entry))


@register.simple_tag(takes_context=True)
def experiences_handoff(context: Context, element_id: str = "experiences") -> SafeString:
    """``{% experiences_handoff %}``: the decision as JSON, for the page's own scripts."""
    return mark_safe(handoff_html(_experiences(context), element_id))
