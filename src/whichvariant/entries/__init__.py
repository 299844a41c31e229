"""Content entries as a visitor sees them: variants, the empty variant, merge tags. Pure.

Entries are Contentful's, as the Delivery API gives them, with links resolved: `link_entries` does
that for a response or a space export. `resolve` puts an entry and everything below it in the
variants that were selected; the rules are those of the vendor's SDKs (docs/rendering.md).
"""

from whichvariant.entries.choosing import Choice
from whichvariant.entries.linking import LinkedEntries, link_entries
from whichvariant.entries.merge_tags import merge_tag, merge_tag_value
from whichvariant.entries.resolving import Resolution, Resolver, resolve

__all__ = [
    "Choice",
    "LinkedEntries",
    "Resolution",
    "Resolver",
    "link_entries",
    "merge_tag",
    "merge_tag_value",
    "resolve",
]
