"""The app, which brings the template tags."""

from __future__ import annotations

from django.apps import AppConfig


class ExperiencesConfig(AppConfig):
    """``{% load whichvariant %}`` works where this is among the installed apps."""

    name = "whichvariant.web.django"
    label = "whichvariant"
    verbose_name = "whichvariant"
