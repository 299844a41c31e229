"""Content as a visitor sees it: links, variants, merge tags."""
