"""An OpenFeature provider that decides here, with an engine (docs/openfeature.md).

Needs the OpenFeature SDK, which ``pip install 'whichvariant[openfeature]'`` brings along. The
package is called as its interface is; the SDK's own modules are reached by their absolute names.
"""

from whichvariant.openfeature.provider import WhichVariantProvider

__all__ = ["WhichVariantProvider"]
