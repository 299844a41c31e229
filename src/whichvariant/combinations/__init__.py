"""What a page can look like: every combination of variants, its share, and a key for caches.

docs/combinations.md says what is enumerated, what is proven about it, and what shares mean.
"""

from whichvariant.combinations.enumeration import Combination, Combinations, enumerate_page
from whichvariant.combinations.page import Level, Page
from whichvariant.combinations.patterns import Example, Pattern

__all__ = [
    "Combination",
    "Combinations",
    "Example",
    "Level",
    "Page",
    "Pattern",
    "enumerate_page",
]
