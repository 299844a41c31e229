"""Which variant does this visitor get? The Experience API's decision, in process.

::

    from whichvariant import Engine

    engine = Engine.load("space.json")
    selection = engine.select({"stableId": "123", "traits": {"plan": "pro"}})
    selection.experiences, selection.changes, selection.audiences
"""

from importlib.metadata import PackageNotFoundError, version

from whichvariant.contracts import Configuration, Finding
from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine, Selection
from whichvariant.errors import (
    ConfigurationError,
    ConfigurationNotFound,
    DocumentError,
    EventError,
    HistoryUnavailable,
    InputError,
    NamespaceMismatch,
    ProfileError,
    ProfileNotFound,
    ProfileOverload,
    ProgramError,
    RecordError,
    ServiceError,
    StoreError,
    TooManyCombinations,
    WhichVariantError,
)
from whichvariant.profiles.answer import Answer
from whichvariant.profiles.settings import ProfileSettings

try:
    __version__ = version("whichvariant")
except PackageNotFoundError:  # running from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Answer",
    "Configuration",
    "ConfigurationError",
    "ConfigurationNotFound",
    "DocumentError",
    "Engine",
    "EventError",
    "Finding",
    "HistoryUnavailable",
    "InputError",
    "Namespace",
    "NamespaceMismatch",
    "ProfileError",
    "ProfileNotFound",
    "ProfileOverload",
    "ProfileSettings",
    "ProgramError",
    "RecordError",
    "Selection",
    "ServiceError",
    "StoreError",
    "TooManyCombinations",
    "WhichVariantError",
    "__version__",
]
