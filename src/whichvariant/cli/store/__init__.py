"""``whichvariant store``: whole stores, at a shell."""
