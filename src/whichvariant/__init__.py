"""Which variant does this visitor get? The Experience API's decision, in process.

::

    from whichvariant import Engine

    engine = Engine.load("space.json")
    selection = engine.select({"stableId": "123", "traits": {"plan": "pro"}})
    selection.experiences, selection.changes, selection.audiences
"""

from importlib.metadata import PackageNotFoundError, version

from whichvariant.contracts import Configuration, Finding
from whichvariant.engine import Engine, Selection
from whichvariant.errors import (
    ConfigurationError,
    DocumentError,
    EventError,
    InputError,
    ProfileError,
    ProgramError,
    WhichVariantError,
)

try:
    __version__ = version("whichvariant")
except PackageNotFoundError:  # running from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Configuration",
    "ConfigurationError",
    "DocumentError",
    "Engine",
    "EventError",
    "Finding",
    "InputError",
    "ProfileError",
    "ProgramError",
    "Selection",
    "WhichVariantError",
    "__version__",
]
