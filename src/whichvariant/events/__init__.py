"""Events for the Experience API, with their context from a request (docs/client.md#events).

::

    from whichvariant import events

    context = events.RequestContext.from_request(request)
    events.page(context)
    events.identify("user-7", {"plan": "gold"}, context=context)
"""

from whichvariant.events.building import (
    LIBRARY,
    Channel,
    ComponentType,
    EventFields,
    addressed,
    component,
    identify,
    new_message_id,
    page,
    screen,
    track,
)
from whichvariant.events.request import RequestContext

__all__ = [
    "LIBRARY",
    "Channel",
    "ComponentType",
    "EventFields",
    "RequestContext",
    "addressed",
    "component",
    "identify",
    "new_message_id",
    "page",
    "screen",
    "track",
]
