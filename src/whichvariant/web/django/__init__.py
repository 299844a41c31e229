"""Django: middleware, and an app with template tags (docs/rendering.md).

::

    INSTALLED_APPS = [..., "whichvariant.web.django"]
    MIDDLEWARE = [..., "whichvariant.web.django.middleware.ExperienceMiddleware"]
    WHICHVARIANT = {"decider": "shop.experiences.decider"}
"""
