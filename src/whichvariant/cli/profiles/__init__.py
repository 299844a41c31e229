"""``whichvariant profiles``: what is stored of visitors, at a shell."""
