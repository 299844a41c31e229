"""Profiles out of a store, into one, and away, whatever kind of store it is.

Out as lines of JSON (`profile_lines`), for replays and for people; or in full (`full_export`),
which becomes a store again that answers the same. In from both. Away: one, or all that nobody has
written for long. None of it needs a configuration.
"""

from whichvariant.service.erasure import Purged, erase, purge
from whichvariant.service.profile_export import Exported, export_profiles
from whichvariant.service.profile_import import Imported, import_profiles

__all__ = [
    "Exported",
    "Imported",
    "Purged",
    "erase",
    "export_profiles",
    "import_profiles",
    "purge",
]
