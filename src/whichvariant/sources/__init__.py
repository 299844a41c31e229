"""Configurations that come from somewhere and change: files, folders, Contentful's Delivery API.

A source fills a `Catalog` and keeps it up to date; a `Follower` does that for one environment in
the background. Servers and clients share them.
"""

from __future__ import annotations

from whichvariant.sources.catalog import Catalog, Entry, Source
from whichvariant.sources.following import Follower

__all__ = ["Catalog", "Entry", "Follower", "Source"]
