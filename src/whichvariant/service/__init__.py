"""The Experience API's operations, without HTTP: profiles from a store, decided by engines.

`ProfileService` has them all (docs/profiles.md).
"""

from whichvariant.service.profile_service import ProfileService
from whichvariant.service.settings import Options, ServiceSettings

__all__ = ["Options", "ProfileService", "ServiceSettings"]
