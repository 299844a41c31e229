"""Loading: configuration documents in, validated contracts and findings out.

Documents are native ones, Contentful space exports and Delivery API responses, in JSON or msgpack
(docs/configuration.md). Nothing here evaluates a rule or knows the compiled core.
"""

from whichvariant.loading.documents import (
    Document,
    check_document,
    parse_document,
    read_document,
)
from whichvariant.loading.loader import Loaded, load_documents
from whichvariant.loading.native_writer import to_native

__all__ = [
    "Document",
    "Loaded",
    "check_document",
    "load_documents",
    "parse_document",
    "read_document",
    "to_native",
]
