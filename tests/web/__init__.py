"""Middleware and template tags, with the real frameworks."""
