"""Where a profile belongs."""

from __future__ import annotations

from typing import NamedTuple


class Namespace(NamedTuple):
    """One environment of one organization. Profiles of different namespaces never meet."""

    organization: str
    environment: str
