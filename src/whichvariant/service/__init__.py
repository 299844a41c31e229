"""The Experience API's operations, without HTTP: profiles from a store, decided by engines.

`ProfileService` has them all (docs/profiles.md); `Inbox` takes batches in for it.
"""

from whichvariant.service.inbox import Inbox
from whichvariant.service.profile_service import ProfileService
from whichvariant.service.settings import Options, ServiceSettings

__all__ = ["Inbox", "Options", "ProfileService", "ServiceSettings"]
