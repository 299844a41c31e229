"""An OpenFeature provider that decides here, with an engine (docs/openfeature.md).

Needs the OpenFeature SDK, which ``pip install 'whichvariant[openfeature]'`` brings along. The
package is called as its interface is; the SDK's own modules are reached by their absolute names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whichvariant.openfeature.provider import WhichVariantProvider

if TYPE_CHECKING:
    from whichvariant.openfeature.remote import RemoteWhichVariantProvider

__all__ = ["RemoteWhichVariantProvider", "WhichVariantProvider"]


def __getattr__(name: str) -> Any:
    # It needs httpx, which nobody else here does.
    if name == "RemoteWhichVariantProvider":
        from whichvariant.openfeature.remote import RemoteWhichVariantProvider

        return RemoteWhichVariantProvider
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
